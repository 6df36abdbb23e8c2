"""Images to feature vectors, and to maps of features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from sfumato.core.tensors import Images, Maps, Vectors


class FeatureExtractor(nn.Module, ABC):
    """Turns images into feature vectors in which distances mean something."""

    feature_dim: int

    @abstractmethod
    def features(self, images: Images) -> Vectors:
        """One vector of `feature_dim` numbers per image."""

    def forward(self, images: Images) -> Vectors:
        """The main answer of this role: `features`."""
        return self.features(images)


class FeaturePyramid(nn.Module, ABC):
    """Feature maps at several scales, of images of any size."""

    channels: int
    """1 for a network of grey images, 3 of RGB."""
    layer_widths: tuple[int, ...]
    """Channels of each layer, finest first."""
    reduction: int
    """How many times smaller the coarsest maps are than the images; no side may be shorter."""

    @property
    def min_side(self) -> int:
        """No side of an image may be shorter."""
        return self.reduction

    @abstractmethod
    def layers(self, images: Images) -> list[Maps]:
        """Feature maps of each layer, finest first."""

    def forward(self, images: Images) -> list[Maps]:
        """The main answer of this role: `layers`."""
        return self.layers(images)


class Layer(NamedTuple):
    """Geometry of one layer of a network."""

    name: str
    width: int
    """Channels of its maps."""
    stride: int
    """Pixels of the image from one place of its maps to the next."""
    receptive_field: int
    """Side of the square of pixels that one place depends on."""
    start: int | None = 0
    """First pixel of the first place's square; below 0 where the image is padded. None if a place sees more than was looked for."""


class Backbone(FeaturePyramid):
    """A classification network all of whose layers can be read by name."""

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
