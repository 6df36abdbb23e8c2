"""Generators with styles: latents to styles, which can be edited, and styles to images."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from sfumato.core.tensors import Images, Labels, Maps, PerImage, Styles, Vectors
from sfumato.models.roles.base import FeatureSource
from sfumato.models.roles.generator import Generator
from sfumato.nn.hooks import last_independent_layer, layer_outputs


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """Further inputs of a synthesis, and further outputs."""

    noise: list[Maps] | None = None
    """A plane for each of the `noise_shapes`, instead of the network's own."""
    feature_maps: list[Maps] | None = None
    """A list that is filled with the maps of each layer, coarse to fine."""


class StyleGenerator(Generator):
    """Generates images in two steps: latents to styles, styles to images.

    A network without a mapping may take the latent itself as its one style.
    """

    styles: int = 1
    """Number of styles of an image."""
    style_dim: int
    """Length of a style."""

    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        """Images, in [0, 1] up to a small overshoot, from latents of unit variance. `labels` are needed exactly if `classes` > 0."""
        return self.synthesize(self.map_latent(z, labels), labels)

    def map_latent(self, z: Vectors, labels: Labels | None = None) -> Styles:
        """The styles of latents: `styles` vectors each."""
        return z[:, None]

    @abstractmethod
    def synthesize(self, styles: Styles, labels: Labels | None = None, options: SynthesisOptions | None = None) -> Images:
        """The images of styles."""

    def mean_style(self, labels: Labels | None = None) -> Styles:
        """The mean style, to which truncation pulls: of each label, or one of all."""
        return torch.zeros(1 if labels is None else len(labels), 1, self.style_dim, device=next(self.parameters()).device)

    def noise_shapes(self) -> list[tuple[int, int]]:
        """Heights and widths of the planes of noise that the network adds to its maps, coarse to fine."""
        return []

    def noise(self) -> list[Maps]:
        """The planes of noise of the network itself, one for each of the `noise_shapes`, for one image."""
        return []

    def style_affines(self) -> list[tuple[int, torch.Tensor]]:
        """For each layer that a style modulates: the index of the style, and the matrix (outputs, style_dim) that is applied to it."""
        return []


class DiscriminatorOutput(NamedTuple):
    """The output of a discriminator."""

    logit: PerImage
    """Logit that an image is real (and of its class)."""
    scores: Vectors | None
    """Unnormalised log-probability of each class, a column each; None without classes."""


class AdversarialGenerator(StyleGenerator):
    """A generator with a discriminator, which is needed in training alone."""

    generator: nn.Module
    discriminator: nn.Module

    @abstractmethod
    def discriminate(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        """The logit that each image is real (and of its class), and the scores of its class."""

    def discriminate_both(
        self, real: Images, fake: Images, labels: Labels | None = None
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The outputs for real and for generated images of the same `labels`, each batch apart as in two calls of `discriminate`."""
        return self.discriminate(real, labels), self.discriminate(fake, labels)

    def image_vectors(self, images: Images) -> Vectors:
        """The means of the discriminator's last maps in which images do not depend on one another."""
        source = self.feature_source()
        name = last_independent_layer(source.network, source.run, images[:1])
        return layer_outputs(source.network, source.run, images, [name])[0].float().mean(dim=(2, 3))

    def feature_source(self) -> FeatureSource:
        """The discriminator; with classes it is given images of the first class."""

        def run(images: Images) -> DiscriminatorOutput:
            labels = torch.zeros(len(images), dtype=torch.long, device=images.device) if self.classes else None
            return self.discriminate(images, labels)

        return FeatureSource(network=self.discriminator, run=run, channels=self.channels, size=self.size, classes=0)
