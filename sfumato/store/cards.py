"""The card of a model: the facts about its data, its training and its figures that travel in the model file, beside its settings.

card = ModelCard.read(tree, "its card")      from the JSON of a file: checked, with absent and with foreign fields
card.data.name, card.training, card.metrics
card.dump()                                  the JSON again
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NotRequired, TypedDict

from sfumato.core.config import Range
from sfumato.core.json_value import Json
from sfumato.core.record import Record
from sfumato.core.schema import Finite, Whole
from sfumato.core.tensors import Crop


@dataclass(frozen=True, kw_only=True)
class DataFacts(Record):
    """The images that a network was trained on."""

    name: str = ""
    images: Whole | None = None
    """Number of images."""
    classes: tuple[str | int, ...] = ()
    """Names of the classes, in the order of their numbers."""
    terms: str = ""
    """Terms under which the images may be used."""
    sha256: str = ""
    """Fingerprint of the pixels and the labels."""
    split_by: str = ""
    """Rule that divides the images into training and test images; files of the first versions do not say it."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes as text."""
        return tuple(map(str, self.classes))


@dataclass(frozen=True, kw_only=True)
class Figure(Record):
    """A measured figure. `extra` holds the unit and the interval (`metrics/base.py`)."""

    name: str
    value: float
    """It need not be finite."""
    protocol: Mapping[str, Json]
    """How the figure was measured."""

    @property
    def real_images(self) -> int:
        """Number of real images that the figure was measured on; 0 if the protocol does not say it."""
        count = self.protocol.get("real")
        return count if isinstance(count, int) else 0


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """The weights that a training began with."""

    model: str = ""
    """File or name of their model."""
    data: DataFacts = field(default_factory=DataFacts)
    images_seen: Whole | None = None
    minutes: Finite | None = None
    missing: tuple[str, ...] = ()
    """Parts of the network that were not among the weights."""
    classes: Mapping[str, Json] = field(default_factory=dict)
    """Numbers of classes before, after and kept, if they changed."""


@dataclass(frozen=True, kw_only=True)
class ImportedFrom(Record):
    """The foreign file that weights were imported from."""

    file: str = ""
    sha256: str = ""
    layout: str = ""
    """Network and layout that were recognised."""
    notes: str = ""
    licence: str = ""
    origin: str = ""
    """Address at which the authors of the layout publish it."""


@dataclass(frozen=True, kw_only=True)
class PlanChange(Record):
    """A change of the plan of a training under a budget of time."""

    images_seen: Whole | None = None
    minutes: Finite | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelCard(Record):
    """The facts about a model that are not its settings."""

    always_dumped: ClassVar[frozenset[str]] = frozenset({"metrics"})

    made_with: str = ""
    """Versions of Sfumato and PyTorch."""
    name: str = ""
    """Name of a bundled model."""
    licence: str = ""
    data: DataFacts = field(default_factory=DataFacts)
    training: Mapping[str, Json] = field(default_factory=dict)
    """Settings of the training, as `core.config.dump` writes them."""
    images_seen: Whole | None = None
    """Training images until now, each counted as often as it was shown."""
    minutes: Finite | None = None
    """Time of the training."""
    metrics: tuple[Figure, ...] = ()
    started_from: Origin = field(default_factory=Origin)
    plan: tuple[PlanChange, ...] = ()
    imported: ImportedFrom = field(default_factory=ImportedFrom)
    grey: "ModelCard | None" = None
    """Of a pair of networks, the card of the one for grey images."""
    colour: "ModelCard | None" = None
    """Of a pair of networks, the card of the one for colour images."""

    @property
    def interrupted(self) -> bool:
        """Whether the training stopped before its last image. False for a model without settings of a training."""
        planned = self.training.get("images")
        return isinstance(planned, int) and self.images_seen is not None and self.images_seen < planned

    @property
    def training_data(self) -> str | None:
        """The data that the settings of the training name; None if there are none."""
        return self._training_text("data")

    @property
    def crop(self) -> Crop:
        """How images were cut to the size of the network."""
        return "stretch" if self._training_text("crop") == "stretch" else "centre"

    def total_training(self) -> dict[str, float]:
        """`images_seen` and `minutes` of this training and of the training of the weights that it began with."""
        parts = (self, self.started_from)
        return {
            "images_seen": sum(part.images_seen or 0 for part in parts),
            "minutes": round(sum(part.minutes or 0 for part in parts), 2),
        }

    def _training_text(self, name: str) -> str | None:
        value = self.training.get(name)
        return value if isinstance(value, str) else None


class Header(TypedDict):
    """The header of a model, of a run's state, of directions or of styles. Its card is checked where it is read."""

    format: Annotated[int, Range(0, 1_000_000)]
    model: NotRequired[Json]
    card: NotRequired[ModelCard]
