"""The rule by which a run divides its images: a resumed run, and one that starts from weights of another, keep its held-out images."""

from pathlib import Path

from sfumato.core.errors import CheckpointError, UnknownNameError
from sfumato.data.collection import source_name
from sfumato.data.dataset import SplitBy
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts
from sfumato.train.settings import TrainSettings


def split_rule(settings: TrainSettings, state: Path | None) -> SplitBy:
    """The rule of the run with this `state`, if there is one.

    Otherwise the rule of the weights that it starts with, if they were trained on data of the same name; else the original of an image,
    also where a file cannot be read: its reader raises the error later.
    """
    try:
        if state is not None and state.exists():
            return recorded(checkpoint.read_header(state).get("split_by"))
        data = checkpoint.read_card(weights.find(settings.start)).data if settings.start else DataFacts()
    except (UnknownNameError, CheckpointError):
        return "original"
    return recorded(data.split_by) if data.name in (settings.data, source_name(Path(settings.data))) else "original"


def recorded(split_by: object) -> SplitBy:
    """The rule that the header of a state or the card of a model names; `resized` for files of the first versions, which name none."""
    return "original" if split_by == "original" else "resized"
