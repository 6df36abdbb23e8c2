"""By which rule a run divides its images: a run that has begun, and one that goes on from another's weights, keeps to what was held out."""

from pathlib import Path

from sfumato.core.errors import CheckpointError, UnknownNameError
from sfumato.data.collection import called
from sfumato.data.dataset import SplitBy
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts
from sfumato.train.settings import TrainSettings


def split_rule(settings: TrainSettings, state: Path | None) -> SplitBy:
    """What decides on an image's side in a run with this `state`, if there is one.

    Otherwise, if the weights that it starts with were trained on data of the same name, what decided there; else the original of an
    image, also where a file cannot be read: whoever needs the whole of it says so.
    """
    try:
        if state is not None and state.exists():
            return recorded(checkpoint.read_header(state).get("split_by"))
        data = checkpoint.read_card(weights.find(settings.start)).data if settings.start else DataFacts()
    except (UnknownNameError, CheckpointError):
        return "original"
    return recorded(data.split_by) if data.name in (settings.data, called(Path(settings.data))) else "original"


def recorded(split_by: object) -> SplitBy:
    """The rule that the header of a state or the card of a model names; `resized` for files of the first versions, which name none."""
    return "original" if split_by == "original" else "resized"
