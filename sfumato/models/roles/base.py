"""The base of all roles: the part of a network whose layers can be read, and a check of weights by one simple input."""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Vectors
from sfumato.models.roles.graph import ExportGraph


class Layer(NamedTuple):
    """Geometry of one layer of a network."""

    name: str
    width: int
    """Channels of its maps."""
    stride: int
    """Pixels of the image from one position of its maps to the next."""
    receptive_field: int
    """Side of the square of pixels that one position depends on."""
    start: int | None = 0
    """First pixel of the square of the first position; below 0 where the image is padded. None for a field larger than was measured."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """The part of a network that takes images, and whose layers can be read."""

    network: nn.Module
    """The modules of this network are the layers."""
    run: Callable[[Images], object]
    """Runs the network on images in [0, 1]."""
    channels: int | None = None
    """Channels of the images; None for as many as the first convolution takes."""
    size: tuple[int, int] | None = None
    """Height and width of the images that the network was trained on; None for any."""
    classes: int | None = None
    """Number of classes whose scores `run` returns, 0 if it returns none; None to count the columns of its output."""
    named: Mapping[str, Layer] = field(default_factory=dict)
    """Layers that the network names itself; none for its modules."""


class Role(nn.Module, ABC):
    """A network that does the job of one role or of several."""

    def feature_source(self) -> FeatureSource:
        """The part of the network whose layers show features of images: by default the network itself."""
        return FeatureSource(network=self, run=self, size=getattr(self, "size", None))

    def image_vectors(self, images: Images) -> Vectors | None:
        """A vector for each image, whose distances tell how alike images are; None for a network that describes no images."""
        return None

    def decoded_vectors(self, vectors: Vectors) -> Images | None:
        """The images, in [0, 1], that `image_vectors` would turn into these vectors; None for a network that cannot go back."""
        return None

    def export_graphs(self) -> dict[str, ExportGraph]:
        """The computations of the network that can be exported, by name, the main one first. A file holds one of them.

        Raises SettingError for a network that cannot be exported.
        """
        raise SettingError(f"a {type(self).__name__} cannot be exported: its role defines no graph (`export_graphs`)")

    def implausible(self) -> str:
        """Why the output for a simple input shows that the weights are those of another network, as a clause; empty if nothing shows it.

        Importing asks it of weights that others published. The network must be in evaluation mode.
        """
        return ""


def implausible(network: nn.Module) -> str:
    """As `Role.implausible`; empty for a module that fills no role."""
    return network.implausible() if isinstance(network, Role) else ""


def export_graphs(network: nn.Module) -> dict[str, ExportGraph]:
    """As `Role.export_graphs`. Raises SettingError also for a module that fills no role."""
    if isinstance(network, Role):
        return network.export_graphs()
    raise SettingError(f"a {type(network).__name__} cannot be exported: it fills no role")


def feature_source(network: nn.Module) -> FeatureSource:
    """The part of `network` whose layers show features of images; a module that fills no role is that part itself."""
    if isinstance(network, Role):
        return network.feature_source()
    return FeatureSource(network=network, run=network, size=getattr(network, "size", None))


def image_vectors(network: nn.Module, images: Images) -> Vectors | None:
    """As `Role.image_vectors`; None for a module that fills no role."""
    return network.image_vectors(images) if isinstance(network, Role) else None


def decoded_vectors(network: nn.Module, vectors: Vectors) -> Images | None:
    """As `Role.decoded_vectors`; None for a module that fills no role."""
    return network.decoded_vectors(vectors) if isinstance(network, Role) else None
