"""Variational auto-encoder (Kingma & Welling 2014, https://arxiv.org/abs/1312.6114), convolutional, with residual blocks.

    image ─ encoder ─ mean, log-variance ─ z ─ decoder ─ parameters of p(x|z)
    standard normal ─ (map to a Gaussian mixture fitted to the latents) ─ z ─ decoder ─ image

Pixels are modelled as bits (Bernoulli), as 256 levels (discretised logistic, Salimans et al. 2017, https://arxiv.org/abs/1701.05517) or
as real numbers (Gaussian with one learned scale per channel, Rybkin et al. 2021, https://arxiv.org/abs/2006.13202).
"""

import math
from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Labels, Maps, PerImage, Styles, Vectors
from sfumato.models.base import data_shape
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.nn.blocks import (
    Activation,
    Down,
    LabelEmbedding,
    Norm,
    Residual,
    Up,
    activation,
    ladder,
    norm,
    run_stages,
    signed,
)
from sfumato.nn.mixture import Mixture


@settings
class Config:
    """Settings of a variational auto-encoder."""

    id = "vae"
    size: Annotated[tuple[int, int] | None, Range(8, 1024, "pixels")] = None
    """Height and width of the images; taken from the data if not set."""
    channels: Annotated[int | None, Range(1, 16, "channels")] = None
    """1 for grey, 3 for RGB, 4 with alpha; taken from the data if not set."""
    classes: Annotated[int | None, Range(0, 100_000, "classes")] = None
    """Number of classes, 0 to ignore labels; taken from the data if not set."""
    latent_dim: Annotated[int, Range(1, 4096, "numbers")] = 32
    """Length of the latent z."""
    width: Annotated[int, Range(1, 1024, "channels")] = 32
    """Channels of the finest hidden maps; doubles with every halving of the size."""
    max_width: Annotated[int, Range(1, 4096, "channels")] = 128
    """Largest number of channels of any map."""
    blocks: Annotated[int, Range(0, 16, "blocks")] = 1
    """Residual blocks at each size except the finest, in encoder and decoder."""
    normalise: Norm = "none"
    """Normalisation inside the residual blocks."""
    activation: Activation = "silu"
    """Activation function."""
    likelihood: Literal["bernoulli", "gaussian", "logistic"] = "gaussian"
    """Distribution of a pixel given z: bernoulli for bits, gaussian for real numbers, logistic for 256 levels."""
    lowest: Annotated[int, Range(2, 64, "pixels")] = 4
    """Smallest height and width of the maps: sizes are halved as long as both sides stay at least this."""
    mixture: Annotated[int, Range(0, 1000, "components")] = 0
    """Components of the Gaussian mixture that latents are sampled from, fitted after training; 0 for N(0, 1)."""

    def build(self) -> "Vae":
        return Vae(self)


@final
class Vae(LatentVariableModel, StyleGenerator):
    """Convolutional variational auto-encoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.channels, self.classes = data_shape(config)
        self.latent_dim = self.style_dim = config.latent_dim
        self.likelihood = config.likelihood
        self.discrete = config.likelihood != "gaussian"
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.log_scale = nn.Parameter(torch.full((self.channels, 1, 1), -2.0)) if config.likelihood != "bernoulli" else None
        self.mixture = Mixture(config.mixture, config.latent_dim) if config.mixture else None

    def posterior(self, images: Images, labels: Labels | None = None) -> tuple[Vectors, Vectors]:
        mean, logvar = self.encoder(images, labels).float().chunk(2, dim=1)
        return mean, logvar.clamp(-20, 10)

    def decode(self, z: Vectors, labels: Labels | None = None) -> Images:
        return self._pixels(self.decoder(z, labels))

    def map_latent(self, z: Vectors, labels: Labels | None = None) -> Styles:
        return (z if self.mixture is None else self.mixture(z))[:, None]

    def synthesize(self, styles: Styles, labels: Labels | None = None, options: SynthesisOptions | None = None) -> Images:
        return self._pixels(self.decoder(styles[:, 0], labels, options.feature_maps if options else None))

    def style_affines(self) -> list[tuple[int, torch.Tensor]]:
        first = self.decoder.start[0]
        assert isinstance(first, nn.Linear)
        return [(0, first.weight[:, : self.latent_dim])]

    def fit_prior(self, z: Vectors, rng: torch.Generator) -> None:
        if self.mixture is not None:
            self.mixture.fit(z, rng=rng)

    def observe(self, images: Images, uniform: Images) -> Images:
        return (uniform < images).float() if self.likelihood == "bernoulli" else images

    def log_likelihood(self, images: Images, z: Vectors, labels: Labels | None = None) -> PerImage:
        raw = self.decoder(z, labels)
        if self.likelihood == "bernoulli":
            return -F.binary_cross_entropy_with_logits(raw, images, reduction="none").sum(dim=(1, 2, 3))
        assert self.log_scale is not None
        if self.likelihood == "gaussian":
            error = (images - self._pixels(raw)) * (-self.log_scale).exp()
            return -(error.square() / 2 + self.log_scale + math.log(2 * math.pi) / 2).sum(dim=(1, 2, 3))
        return _log_logistic_mass(images, self._pixels(raw), self.log_scale - math.log(2)).sum(dim=(1, 2, 3))

    def _pixels(self, raw: Images) -> Images:
        return raw.sigmoid() if self.likelihood == "bernoulli" else raw / 2 + 0.5


class Encoder(nn.Module):
    """Maps an image, and a label if there are classes, to mean and log-variance of z."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        sizes = ladder(size, lowest=config.lowest)
        widths = [min(config.width << i, config.max_width) for i in range(len(sizes))]
        self.embedding = LabelEmbedding(classes, widths[0]) if classes else None
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1)
        stages = []
        for i in range(1, len(sizes)):
            stages += [activation(config.activation), Down(widths[i - 1], widths[i])]
            stages += [Residual(widths[i], normalise=config.normalise, act=config.activation) for _ in range(config.blocks)]
        flat = widths[-1] * sizes[-1][0] * sizes[-1][1]
        self.stages = nn.Sequential(*stages, activation(config.activation), nn.Flatten(), nn.Linear(flat, 2 * config.latent_dim))

    def forward(self, images: Images, labels: Labels | None = None) -> Vectors:
        x = self.stem(signed(images))
        if self.embedding is not None:
            assert labels is not None
            x = x + self.embedding(labels)[:, :, None, None]
        return self.stages(x)


class Decoder(nn.Module):
    """Maps z, and a label if there are classes, to the parameters of the distribution of each pixel."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        *finer, start = ladder(size, lowest=config.lowest)
        widths = [channels, *(min(config.width << i, config.max_width) for i in range(1, len(finer) + 1))]
        self.embedding = LabelEmbedding(classes, config.latent_dim) if classes else None
        self.start = nn.Sequential(
            nn.Linear(config.latent_dim * (2 if classes else 1), widths[-1] * start[0] * start[1]),
            nn.Unflatten(1, (widths[-1], *start)),
        )
        stages = []
        for i in reversed(range(len(finer))):
            stages += [Residual(widths[i + 1], normalise=config.normalise, act=config.activation) for _ in range(config.blocks)]
            stages += [norm(config.normalise, widths[i + 1]), activation(config.activation), Up(widths[i + 1], widths[i], finer[i])]
        self.stages = nn.Sequential(*stages)

    def forward(self, z: Vectors, labels: Labels | None = None, feature_maps: list[Maps] | None = None) -> Images:
        if self.embedding is not None:
            assert labels is not None
            z = torch.cat([z, self.embedding(labels)], dim=1)
        start = self.start(z).contiguous(memory_format=torch.channels_last)
        return run_stages(self.stages, start, feature_maps).float()


def _log_logistic_mass(images: Images, mean: Images, log_scale: torch.Tensor) -> Images:
    """Log-probability of each pixel's level under a logistic distribution; levels are 1/255 wide, the outermost include the tails.

    Inside, log(s(a) - s(b)) is computed as log s(a) + log s(-b) + log(1 - exp(b - a)), without a difference of nearly equal numbers.
    """
    inverse = (-log_scale).exp()
    above, below = (images - mean + 0.5 / 255) * inverse, (images - mean - 0.5 / 255) * inverse
    darkest, brightest = F.logsigmoid(above), F.logsigmoid(-below)
    inside = darkest + brightest + (-torch.expm1(-inverse / 255)).log()
    return torch.where(images < 0.5 / 255, darkest, torch.where(images > 1 - 0.5 / 255, brightest, inside))
