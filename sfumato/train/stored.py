"""What stands in the header of a run's state, as far as a resumed run reads it."""

from typing import Annotated, NotRequired, TypedDict

from sfumato.core.config import Range
from sfumato.core.schema import Whole


class DoctorState(TypedDict):
    """What the doctor knows; see train/doctor.py. Figures of an ill run need not be finite."""

    pace: Annotated[float, Range(0, 1)]
    returns: Whole
    rows: list[dict[str, float]]
    said: list[str]
    doses: dict[str, Whole]
    distances: list[float]
    pulses: NotRequired[list[dict[str, float]]]
    widest: NotRequired[float]
    figures: dict[str, tuple[float, Whole]]


class Classes(TypedDict):
    """What became of its classes; see train/class_tables.py."""

    before: Whole
    after: Whole
    kept: Whole


class Origin(TypedDict, total=False):
    """With whose weights training began."""

    missing: list[str]
    classes: Classes


class State(TypedDict):
    """A run after so many images and seconds."""

    seen: Whole
    elapsed: Annotated[float, Range(0, 1e12, "seconds")]
    data: NotRequired[str]
    origin: Origin
    doctor: DoctorState
    well: Whole
