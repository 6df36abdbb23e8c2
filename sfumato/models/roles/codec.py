"""Images to few bits, and back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from sfumato.core.json_value import Json
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, Maps, PerImage, Vectors
from sfumato.models.roles.base import Role
from sfumato.models.roles.graph import ExportGraph, GraphInput

QUALITIES = range(1, 101)
"""Qualities that a file can have. Each is a fixed weight of the error against the bits."""

Symbols = Int64[Tensor, "_c _h _w"]
"""Whole numbers of one image."""

_COMPARED, _MEAN = 60, 0.3
"""The quality at which images are encoded to compare them, and the weight of the means there: colour beside texture."""


def level_of(quality: int) -> float:
    """The place of `quality` (1 to 100) between the lowest rate, 0, and the highest, 1."""
    return (quality - QUALITIES[0]) / (len(QUALITIES) - 1)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The result of compressing images with noise in the place of rounding: differentiable."""

    images: Maps
    """The images after compression."""
    latent_bits: PerImage
    """Bits of the latent of each image."""
    hyper_bits: PerImage
    """Bits of the hyperlatent of each image."""


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A latent after quantisation around its predicted mean."""

    latent: Maps
    bits: PerImage
    """Bits of each image's latent; those of the hyperlatent are not among them."""


@dataclass(frozen=True)
class Prediction:
    """Means and scales of the symbols at some positions of a latent, in whole numbers: a row for each channel."""

    mean: Int64[Tensor, "c k"]
    """Predicted latent, times 256."""
    scale: Int64[Tensor, "c k"]
    """Index of the table of each symbol."""


class EntropyModel(ABC):
    """Predicts symbols in whole numbers alone, with the same result on every machine. One model belongs to one quality."""

    @abstractmethod
    def features(self, hyper: Symbols, size: tuple[int, int]) -> Tensor:
        """Features of a latent of `size` (rows, columns), from the hyperlatent."""

    @abstractmethod
    def predict(self, features: Tensor, at: Int64[Tensor, " k"], latent: Symbols | None = None) -> Prediction:
        """The prediction at the positions `at` (numbers in reading order), from the features and, if given, from the `latent` times 256.

        With a latent, `at` are positions of the second half, and the latent is zero there.
        """


class Codec(Role):
    """Compresses images of any size.

    An image has a latent and a hyperlatent. The hyperlatent is coded with a table for each channel; from it the entropy model predicts the
    first half of the latent's positions, and from both the second half.
    """

    channels: int
    """Channels of the images."""
    stride: int
    """Side in pixels of the square that a position of the latent stands for."""
    hyper_stride: int
    """Side, in positions of the latent, of the square that a position of the hyperlatent stands for."""
    latent_channels: int
    hyper_channels: int
    halo: int
    """Positions of the latent beyond which nothing changes a pixel; the same number of positions in pixels for the latent."""

    @abstractmethod
    def weight(self, level: PerImage) -> PerImage:
        """The weight of the mean squared error, in squared grey levels of 255, against bits per pixel."""

    @abstractmethod
    def estimate(self, images: Images, level: PerImage, draws: Draws) -> Estimate:
        """Images after compression and their bits, differentiable. Sides must be multiples of `stride`."""

    @abstractmethod
    def quantised(
        self, latent: Maps, hyper: Maps, level: PerImage, *, quantise: Callable[[Maps], Maps], noise: Maps | None = None
    ) -> Quantised:
        """The latent with its distance from the predicted mean quantised, and its bits; differentiable.

        `hyper` is the hyperlatent after rounding. Bits are those of the quantised distances, or with `noise` those of the distances plus
        noise.
        """

    @abstractmethod
    def encode(self, images: Images, level: PerImage) -> Maps:
        """The latent, before it is rounded. Sides must be multiples of `stride`."""

    @abstractmethod
    def decode(self, latent: Maps, level: PerImage) -> Maps:
        """The images of a latent, in [0, 1] up to an overshoot."""

    @abstractmethod
    def hyper_encode(self, latent: Maps, level: PerImage) -> Maps:
        """The hyperlatent, before it is rounded. Sides of the latent must be multiples of `hyper_stride`."""

    @abstractmethod
    def entropy_model(self, quality: int) -> EntropyModel:
        """The entropy model of `quality` in whole numbers. Raises SettingError if the weights do not allow exact sums."""

    @abstractmethod
    def first_half(self, size: tuple[int, int]) -> Tensor:
        """Whether each position of a latent of `size` is of the first half: booleans (rows, columns)."""

    @abstractmethod
    def tables(self) -> tuple[Tensor, Tensor]:
        """Frequencies for each scale of the latent, and for each channel of the hyperlatent; rows add up to 2^16."""

    @abstractmethod
    def fit_tables(self) -> None:
        """Computes the tables from the weights, once after training. From then on they are stored and never computed again."""

    @property
    @abstractmethod
    def fingerprint(self) -> bytes:
        """Four bytes that tell apart models whose files are not exchangeable: of tables and weights of the entropy model."""

    def image_vectors(self, images: Images) -> Vectors:
        """For each channel of the latent, how much of its pattern an image has, and how bright or dark it is in the mean.

        Logarithms, so that a faint texture counts beside a strong one.
        """
        latent = self.encode(images, images.new_full((len(images),), level_of(_COMPARED))).float()
        amount, mean = latent.abs().mean(dim=(2, 3)), latent.mean(dim=(2, 3))
        return torch.cat([amount.log1p(), _MEAN * mean.asinh()], dim=1)

    def export_graphs(self) -> dict[str, ExportGraph]:
        step = self.stride * self.hyper_stride
        level = GraphInput("level", torch.rand(2), {0: "n"}, about="(quality - 1) / 99 of each image")
        images = GraphInput(
            "images", torch.rand(2, self.channels, step, 2 * step), {0: "n", 2: "h", 3: "w"}, self.stride, "pictures in [0, 1], sRGB"
        )
        maps = torch.randn(2, self.latent_channels, 2 * self.hyper_stride, 3 * self.hyper_stride)
        latent = GraphInput("latent", maps, {0: "n", 2: "rows", 3: "columns"}, about="latent, rounded", stride=self.stride)
        unrounded = latent._replace(multiple=self.hyper_stride, about="latent, before it is rounded")
        graphs = {
            "analysis": (_Analysis(self), (images, level), "latent"),
            "synthesis": (_Synthesis(self), (latent, level), "images"),
            "hyper_analysis": (_HyperAnalysis(self), (unrounded,), "hyperlatent"),
        }
        names = ("channels", "stride", "hyper_stride", "latent_channels", "hyper_channels", "halo")
        facts: dict[str, Json] = {name: getattr(self, name) for name in names} | {"fingerprint": self.fingerprint.hex()}
        return {
            name: ExportGraph(role=f"codec_{name}", module=module, inputs=inputs, outputs=(output,), facts=facts)
            for name, (module, inputs, output) in graphs.items()
        }

    def forward(self, images: Images, quality: int = 50) -> Maps:
        """The images after compression at `quality`, without the entropy coder. Sides must be multiples of `stride`."""
        level = images.new_full((len(images),), level_of(quality))
        noise = Draws(rng=torch.Generator().manual_seed(0), count=len(images), device=images.device)
        return self.estimate(images, level, noise).images


class _Transform(nn.Module):
    """A part of a codec as a network of its own. The entropy model is no such part: it computes in whole numbers alone."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec


class _Analysis(_Transform):
    def forward(self, images: Images, level: PerImage) -> Maps:
        """The latent, before it is rounded."""
        return self.codec.encode(images, level)


class _Synthesis(_Transform):
    def forward(self, latent: Maps, level: PerImage) -> Maps:
        """The images of a latent."""
        return self.codec.decode(latent, level)


class _HyperAnalysis(_Transform):
    def forward(self, latent: Maps) -> Maps:
        """The hyperlatent, before it is rounded. It does not depend on the level."""
        return self.codec.hyper_encode(latent, latent.new_zeros(len(latent)))
