"""Generators: latents to images."""

from abc import abstractmethod

import torch

from sfumato.core.tensors import Images, Labels, Vectors
from sfumato.models.roles.base import Role


class Generator(Role):
    """Generates images from latents."""

    latent_dim: int
    """Length of a latent."""
    channels: int
    size: tuple[int, int]
    """Height and width of the images."""
    classes: int
    """Number of classes that the network was trained with; 0 if it takes no labels."""
    styles: int = 0
    """Number of styles of an image; 0 for a network that makes images of latents in one step, without styles."""

    @abstractmethod
    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        """Images, in [0, 1] up to a small overshoot, from latents of unit variance. `labels` are needed exactly if `classes` > 0."""

    def infer_latents(self, images: Images, labels: Labels | None = None) -> Vectors | None:
        """A guess of the latents of images; None for a network without an encoder."""
        return None

    def image_vectors(self, images: Images) -> Vectors | None:
        """The latents of images; None without an encoder, and for a network with classes, whose encoder needs the class of each image."""
        return None if self.classes else self.infer_latents(images)

    @torch.no_grad()
    def implausible(self) -> str:
        images = self.sample(torch.zeros(1, self.latent_dim), torch.zeros(1, dtype=torch.long) if self.classes else None)
        return "" if torch.isfinite(images).all() else "the image of its mean latent is not finite"

    def forward(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The main method of this role: `sample`."""
        return self.sample(z, labels)


def latents(model: Generator, n: int, rng: torch.Generator) -> Vectors:
    """`n` standard normal latents for `model`, drawn on the CPU."""
    return torch.randn(n, model.latent_dim, generator=rng)
