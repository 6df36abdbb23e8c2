"""By which rule a run divides its images: a run that has begun, and one that goes on from another's weights, keeps to what was held out."""

from pathlib import Path
from typing import Any

from sfumato.core.errors import CheckpointError, UnknownNameError
from sfumato.data.collection import source_name
from sfumato.data.dataset import SplitBy
from sfumato.store import checkpoint, weights
from sfumato.train.settings import TrainSettings


def split_rule(settings: TrainSettings, state: Path | None) -> SplitBy:
    """What decides on an image's side in a run with this `state`, if there is one.

    Otherwise, if the weights that it starts with were trained on data of the same name, what decided there; else the original of an
    image, also where a file cannot be read: whoever needs the whole of it says so.
    """
    try:
        if state is not None and state.exists():
            return recorded(checkpoint.read_header(state))
        data = checkpoint.read_header(weights.find(settings.start)).get("card", {}).get("data", {}) if settings.start else {}
    except (UnknownNameError, CheckpointError):
        return "original"
    return recorded(data) if data.get("name") in (settings.data, source_name(Path(settings.data))) else "original"


def recorded(about: dict[str, Any]) -> SplitBy:
    """What the header of a state, or what a card says of its data, names as the rule; before there were two, nothing was named."""
    return "original" if about.get("split_by") == "original" else "resized"
