"""Images to feature vectors, and to maps of features."""

from abc import abstractmethod
from collections.abc import Sequence

from sfumato.core.tensors import Images, Maps, Vectors
from sfumato.models.roles.base import FeatureSource, Layer, Role


class FeatureExtractor(Role):
    """Turns images into feature vectors, whose distances tell how alike images are."""

    feature_dim: int
    batch: int = 500
    """Number of images that it takes at once in a measurement."""

    @property
    def kind(self) -> str:
        """Name of the kind of network, for protocols of measurements."""
        return type(self).__name__.lower()

    def misfit(self, size: tuple[int, int], channels: int) -> str:
        """Why the network takes no images of this `size`, (height, width), and `channels`, as a clause; empty if it takes them."""
        return ""

    @abstractmethod
    def features(self, images: Images) -> Vectors:
        """One vector of `feature_dim` numbers per image."""

    def image_vectors(self, images: Images) -> Vectors:
        return self.features(images)

    def forward(self, images: Images) -> Vectors:
        """The main method of this role: `features`."""
        return self.features(images)


class FeaturePyramid(Role):
    """Feature maps at several scales, of images of any size."""

    channels: int
    """1 for a network of grey images, 3 for RGB."""
    layer_widths: tuple[int, ...]
    """Channels of each layer, finest first."""
    reduction: int
    """Sides of the images over sides of the coarsest maps."""

    @property
    def min_side(self) -> int:
        """Shortest side of an image, in pixels, that the network takes."""
        return self.reduction

    @abstractmethod
    def layers(self, images: Images) -> list[Maps]:
        """Feature maps of each layer, finest first."""

    def forward(self, images: Images) -> list[Maps]:
        """The main method of this role: `layers`."""
        return self.layers(images)


class Backbone(FeaturePyramid):
    """A classification network whose layers can be read by name."""

    named: dict[str, Layer]
    """Every layer, finest first."""
    classes: int
    """Number of classes; 0 for a network without its classification head."""

    @abstractmethod
    def layers(self, images: Images, names: Sequence[str] = ()) -> list[Maps]:
        """Feature maps of the layers called `names`, in that order; without names, those of `layer_widths`.

        Raises SettingError for a name that is not in `named`, and for images with a side shorter than `min_side`.
        """

    @abstractmethod
    def scores(self, images: Images) -> Vectors:
        """Unnormalised log-probabilities, a column a class. Raises SettingError without classes."""

    def feature_source(self) -> FeatureSource:
        """The network itself, with the layers that it names."""
        return FeatureSource(network=self, run=self.scores, channels=self.channels, classes=self.classes, named=self.named)
