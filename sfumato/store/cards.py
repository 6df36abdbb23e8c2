"""What the header of a file of ours holds, as far as anything is read from it: whoever reads a card may rely on these types."""

from typing import Annotated, Any, NotRequired, TypedDict

from sfumato.core.config import Range
from sfumato.core.schema import Finite, Whole


class Images(TypedDict, total=False):
    """What a network was trained on."""

    name: str
    images: Whole
    classes: list[str | int]
    terms: str
    sha256: str


class Protocol(TypedDict, total=False):
    """How a figure was measured; metrics/base.py has the rest."""

    real: Whole | None
    generated: Whole | None


class Figure(TypedDict):
    """A figure that was measured; it need not be finite."""

    name: str
    value: float
    protocol: Protocol


class Spent(TypedDict, total=False):
    """How much training there was."""

    images_seen: Whole | None
    minutes: Finite | None


class Imported(TypedDict, total=False):
    """Where somebody else's weights came from."""

    file: str
    sha256: str
    layout: str
    notes: str
    licence: str


class Training(TypedDict, total=False):
    """The settings of a training, as far as they are read without the rest."""

    data: str
    crop: str


class Card(Spent, total=False):
    """What travels in a model file and is no setting."""

    made_with: str
    name: str
    licence: str
    data: Images
    training: Training
    metrics: list[Figure]
    started_from: Spent
    imported: Imported
    grey: "Member"
    colour: "Member"


class Member(Spent, total=False):
    """The card of one of a pair of networks."""

    data: Images
    training: Training
    metrics: list[Figure]
    started_from: Spent


class Header(TypedDict):
    """The header of a model, of a run's state, of directions or of styles."""

    format: Annotated[int, Range(0, 1_000_000)]
    model: NotRequired[Any]
    card: NotRequired[Card]
