"""Two images to their perceptual distance."""

from abc import abstractmethod

from sfumato.core.tensors import Images, PerImage
from sfumato.models.roles.base import Role


class PerceptualMetric(Role):
    """A perceptual distance between two images."""

    channels: int
    min_side: int
    """No side of an image may be shorter."""

    @abstractmethod
    def distance(self, images: Images, reference: Images) -> PerImage:
        """Distance of each pair of images: 0 for equal ones, larger for others; differentiable in both."""

    def forward(self, images: Images, reference: Images) -> PerImage:
        """The main method of this role: `distance`."""
        return self.distance(images, reference)
