"""The facts about an exported network: JSON under the key `sfumato` in the metadata of its file.

A program without Sfumato reads them with its runtime, such as `session.get_modelmeta().custom_metadata_map["sfumato"]` of onnxruntime.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sfumato.core.config import Range
from sfumato.core.json_value import Json
from sfumato.core.record import Record
from sfumato.core.schema import Finite, Whole
from sfumato.models.roles.restorer import Plane
from sfumato.store.cards import ModelCard

KEY = "sfumato"
"""Name of the entry of the metadata that holds the facts."""
FORMAT = 1
Positive = Annotated[int, Range(1, 1 << 16)]


@dataclass(frozen=True, kw_only=True)
class InputFacts(Record):
    """An input of the graph."""

    name: str
    shape: tuple[str | int, ...]
    """Length of each axis; a name for an axis of any length."""
    type: str
    """float32 or int64."""
    multiple: Whole = 1
    """Axes of any length, but for the first one, are multiples of this number."""
    about: str = ""
    """Meaning and range of the values."""


@dataclass(frozen=True, kw_only=True)
class Parity(Record):
    """The largest difference between the file and the model that it was exported from, on random inputs."""

    difference: Finite
    """In shares of full scale."""
    shapes: tuple[str, ...] = ()
    """Sizes of the inputs that were compared."""
    runtime: str = ""
    """Library and version that computed the file."""


@dataclass(frozen=True, kw_only=True)
class ExportFacts(Record):
    """The facts about an exported network."""

    always_dumped: ClassVar[frozenset[str]] = frozenset({"format"})

    format: Whole = FORMAT
    name: str = ""
    """Name of the model."""
    part: str = ""
    """Name of the graph among those of the model."""
    role: str = ""
    made_with: str = ""
    """Versions of Sfumato and PyTorch."""
    weights: str = ""
    """SHA-256 of the model file that was exported, or empty."""
    number_format: str = "float32"
    """float32 or int8."""
    value_range: tuple[Finite, ...] = (0.0, 1.0)
    """Range of the images that go in and come out; outputs may exceed it slightly."""
    colour: str = ""
    """grey, or RGB in the sRGB colour space; channels before height before width."""
    inputs: tuple[InputFacts, ...] = ()
    outputs: tuple[str, ...] = ()
    network: Mapping[str, Json] = field(default_factory=dict)
    """Facts of the role: scale, pad_multiple, receptive_radius, ... of a restorer; size, latent_dim, classes of a generator."""
    parity: Parity | None = None
    card: ModelCard = field(default_factory=ModelCard)


@dataclass(frozen=True, kw_only=True)
class RestorerFacts(Record):
    """`network` of a restorer; each as in `models/roles/restorer.py`."""

    channels: Positive
    scale: Positive
    pad_multiple: Positive
    tile_multiple: Positive
    receptive_radius: Whole | None = None
    conditioning: tuple[Plane, ...] = ()
    plane_channels: Whole = 0
    bytes_per_pixel: Finite = 0.0
    """Bytes of the largest layer for each pixel of the input."""


@dataclass(frozen=True, kw_only=True)
class GeneratorFacts(Record):
    """`network` of a generator, or of the encoder of one."""

    channels: Positive
    size: tuple[Positive, Positive]
    latent_dim: Positive
    classes: Whole = 0
    noise_shapes: tuple[tuple[Positive, Positive], ...] = ()


@dataclass(frozen=True, kw_only=True)
class FeatureFacts(Record):
    """`network` of a feature extractor, or of the encoder of a generator."""

    channels: Positive
    size: tuple[Positive, Positive]
    feature_dim: Whole = 0
    latent_dim: Whole = 0
    classes: Whole = 0
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class ClassifierFacts(Record):
    """`network` of a classifier."""

    channels: Positive
    size: tuple[Positive, Positive]
    classes: Positive
    feature_dim: Positive
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class MetricFacts(Record):
    """`network` of a perceptual metric."""

    channels: Positive
    min_side: Positive
