"""A generator that also infers latents from images, and tells how likely an image is."""

from abc import abstractmethod

import torch

from sfumato.core.tensors import Images, Labels, PerImage, Vectors
from sfumato.models.roles.generator import Generator


class LatentVariableModel(Generator):
    """A generator that also infers the latents of images, and has a likelihood."""

    discrete: bool
    """Whether the likelihood is a probability (of bits, of grey levels) and not a density, so that it can be given in bits."""

    @abstractmethod
    def posterior(self, images: Images, labels: Labels | None = None) -> tuple[Vectors, Vectors]:
        """Mean and log-variance of q(z|x)."""

    @abstractmethod
    def log_likelihood(self, images: Images, z: Vectors, labels: Labels | None = None) -> PerImage:
        """Log p(x|z) of each image under its own latent, in nats."""

    @abstractmethod
    def decode(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The most likely image of each latent, in [0, 1]. `sample` may warp z towards a better prior first; this never does."""

    def fit_prior(self, z: Vectors, rng: torch.Generator) -> None:
        """Called once after training with latents of real images; a network with a prior of its own fits it to them."""

    @abstractmethod
    def observe(self, images: Images, uniform: Images) -> Images:
        """`images` as the likelihood sees them: bits drawn with the help of `uniform` in [0, 1), or grey levels, or unchanged."""
