"""Two images to how different they look."""

from abc import ABC, abstractmethod

from torch import nn

from sfumato.core.tensors import Images, PerImage


class PerceptualMetric(nn.Module, ABC):
    """A perceptual distance between two images."""

    channels: int
    min_side: int
    """No side of an image may be shorter."""

    @abstractmethod
    def distance(self, images: Images, reference: Images) -> PerImage:
        """0 for equal images and more for others, differentiable in both."""

    def forward(self, images: Images, reference: Images) -> PerImage:
        """The main answer of this role: `distance`."""
        return self.distance(images, reference)
