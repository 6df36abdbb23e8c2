"""The header of the state of a run, as far as a resumed run reads it. The fields are keys of a file and keep their names."""

from typing import Annotated, NotRequired, TypedDict

from sfumato.core.config import Range
from sfumato.core.json_value import Json
from sfumato.core.schema import Finite, Whole


class DoctorState(TypedDict):
    """State of the doctor; see train/doctor.py. Figures of a diverging run need not be finite."""

    pace: Annotated[float, Range(0, 1)]
    returns: Whole
    rows: list[dict[str, float]]
    said: list[str]
    doses: dict[str, Whole]
    distances: list[float]
    pulses: NotRequired[list[dict[str, float]]]
    widest: NotRequired[float]
    first_loss: NotRequired[float | None]
    least_loss: NotRequired[float | None]
    figures: dict[str, tuple[float, Whole]]


class Classes(TypedDict):
    """The change of classes; see train/class_tables.py."""

    before: Whole
    after: Whole
    kept: Whole


class Origin(TypedDict, total=False):
    """The model with whose weights training began."""

    model: str
    data: dict[str, Json]
    images_seen: Whole
    minutes: Finite
    missing: list[str]
    classes: Classes


class KeptState(TypedDict):
    """The header of the last state without a fault, after `seen` images."""

    seen: Whole


class State(TypedDict):
    """State of a run after `seen` images and `elapsed` seconds."""

    seen: Whole
    elapsed: Annotated[float, Range(0, 1e12, "seconds")]
    data: NotRequired[str]
    origin: Origin
    doctor: DoctorState
    well: Whole
