"""A generator that also infers latents from images, and tells how likely an image is."""

from abc import abstractmethod

import torch
from torch import nn

from sfumato.core.tensors import Images, Labels, PerImage, Vectors
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.graph import ExportGraph, GraphInput


class LatentVariableModel(Generator):
    """A generator that also infers the latents of images, and has a likelihood."""

    discrete: bool
    """Whether the likelihood is a probability (of bits, of grey levels), which can be given in bits, and not a density."""

    @abstractmethod
    def posterior(self, images: Images, labels: Labels | None = None) -> tuple[Vectors, Vectors]:
        """Mean and log-variance of q(z|x)."""

    def infer_latents(self, images: Images, labels: Labels | None = None) -> Vectors:
        """The mean of the posterior of each image."""
        return self.posterior(images, labels)[0]

    @abstractmethod
    def log_likelihood(self, images: Images, z: Vectors, labels: Labels | None = None) -> PerImage:
        """Log p(x|z) of each image under its own latent, in nats."""

    @abstractmethod
    def decode(self, z: Vectors, labels: Labels | None = None) -> Images:
        """The most likely image of each latent, in [0, 1]. Unlike `sample`, it never maps z to another prior first."""

    def decoded_vectors(self, vectors: Vectors) -> Images | None:
        return None if self.classes else self.decode(vectors).clamp(0, 1)

    def export_graphs(self) -> dict[str, ExportGraph]:
        images = GraphInput("images", torch.rand(2, self.channels, *self.size), {0: "n"}, about="images in [0, 1]")
        encoder = ExportGraph(
            role="encoder",
            module=_Encoder(self),
            inputs=(images, *self._label_input()),
            outputs=("mean", "log_variance"),
            facts=self._export_facts(),
        )
        return {**super().export_graphs(), "encoder": encoder}

    def fit_prior(self, z: Vectors, rng: torch.Generator) -> None:
        """Fits the prior of the network, if it has one of its own, to latents of real images. Called once, after training."""

    @abstractmethod
    def observe(self, images: Images, uniform: Images) -> Images:
        """`images` in the form that the likelihood takes: bits drawn by `uniform` in [0, 1), or grey levels, or unchanged."""


class _Encoder(nn.Module):
    """The posterior of a latent variable model as a network of its own."""

    def __init__(self, network: LatentVariableModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Vectors, Vectors]:
        """Mean and log-variance of the latents of images."""
        return self.network.posterior(images, labels)
