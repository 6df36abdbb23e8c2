"""Generators with styles: latents to styles, which can be edited, and styles to images."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, Labels, Maps, PerImage, Styles, Vectors
from sfumato.models.roles.base import FeatureSource
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.graph import ExportGraph, GraphInput
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

    def noise(self) -> list[Maps]:
        """The planes of noise of the network itself, one for each of the `noise_shapes`, for one image."""
        return []

    def export_graphs(self) -> dict[str, ExportGraph]:
        shapes = self.noise_shapes()
        inputs = [
            self._latent_input(),
            *self._label_input(),
            GraphInput("truncation", torch.ones(1), about="0 for the mean image, 1 as trained"),
        ]
        if shapes:
            inputs.append(
                GraphInput("own_noise", torch.ones(1), about="1 adds the network's own noise, 0 only that of the inputs noise_0, ...")
            )
        inputs += [
            GraphInput(f"noise_{i}", torch.zeros(2, 1, *size), {0: "n"}, about="noise of unit variance, one plane an image")
            for i, size in enumerate(shapes)
        ]
        facts: dict[str, Json] = {**self._export_facts(), "noise_shapes": [list(size) for size in shapes]}
        return {
            "generator": ExportGraph(role="style_generator", module=Sampler(self), inputs=tuple(inputs), outputs=("images",), facts=facts)
        }

    def style_affines(self) -> list[tuple[int, torch.Tensor]]:
        """For each layer that a style modulates: the index of the style, and the matrix (outputs, style_dim) that is applied to it."""
        return []


class Sampler(nn.Module):
    """A generator with styles as one function: latents, labels if there are classes, truncation and noise to images."""

    def __init__(self, network: StyleGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Vectors, *inputs: torch.Tensor) -> Images:
        """The images of latents; `inputs` are the others of `StyleGenerator.export_graphs`, in its order."""
        labels, (truncation, *noise) = (inputs[0], inputs[1:]) if self.network.classes else (None, inputs)
        styles, mean = self.network.map_latent(z, labels), self.network.mean_style(labels)
        planes = [
            share * own + given for share, own, given in zip(noise[:1] * (len(noise) - 1), self.network.noise(), noise[1:], strict=True)
        ]
        options = SynthesisOptions(noise=planes) if planes else None
        return self.network.synthesize(mean + truncation * (styles - mean), labels, options)


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

    def image_vectors(self, images: Images) -> Vectors | None:
        """The means of the discriminator's last maps in which images do not depend on one another; None without a discriminator."""
        if isinstance(self.discriminator, nn.Identity):
            return None
        source = self.feature_source()
        name = last_independent_layer(source.network, source.run, images[:1])
        return layer_outputs(source.network, source.run, images, [name])[0].float().mean(dim=(2, 3))

    def feature_source(self) -> FeatureSource:
        """The discriminator; with classes it is given images of the first class."""

        def run(images: Images) -> DiscriminatorOutput:
            labels = torch.zeros(len(images), dtype=torch.long, device=images.device) if self.classes else None
            return self.discriminate(images, labels)

        return FeatureSource(network=self.discriminator, run=run, channels=self.channels, size=self.size, classes=0)
