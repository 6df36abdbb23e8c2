"""Generators: latents to images."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from sfumato.core.tensors import Images, Labels, Vectors


class Generator(nn.Module, ABC):
    """Makes images from latents."""

    latent_dim: int
    """Length of a latent."""
    channels: int
    size: tuple[int, int]
    """Height and width of the images."""
    classes: int
    """Number of classes that the network was trained with; 0 if it takes no labels."""

    @abstractmethod
    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        """Images, in [0, 1] up to a small overshoot, from latents of unit variance. `labels` are needed exactly if `classes` > 0."""

    def forward(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The main answer of this role: `sample`."""
        return self.sample(z, labels)


def latents(model: Generator, n: int, rng: torch.Generator) -> Vectors:
    """`n` standard normal latents for `model`, drawn on the CPU."""
    return torch.randn(n, model.latent_dim, generator=rng)
