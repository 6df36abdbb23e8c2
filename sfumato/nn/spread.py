"""The usual size of the numbers of a latent, by channel and by level, so that a network can see and predict numbers near 1.

    latent / size ─ network ─ mean x size, scale x size

Without it, the mean of a square, which is a hundred times larger than a fine cosine, would decide what every step of an optimizer changes.
Sizes are a power of two for each channel times a factor for each level, so that they can be applied to whole numbers with the same result
on every machine; those of the qualities are computed once and stored with the weights.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from sfumato.core.tensors import Maps, PerImage
from sfumato.nn.entropy import SMALLEST, STEP
from sfumato.nn.exact import ONE, WEIGHT_POINT

_LEAST = 0.25
"""Least size by which a latent is divided: numbers below 1 are rounded to 0 for the most part."""
_ONE_SCALE = -math.log(SMALLEST) / STEP
"""Place of the scale 1 in the row of scales."""
_OCTAVE = math.log(2) / STEP
"""Places by which a scale twice as large is further along."""


class Spread(nn.Module):
    """Sizes of the channels of a latent at each level."""

    octaves: Tensor
    """The size of each channel at the middle level, as a power of two: whole numbers, (c)."""
    factors: Tensor
    """The factor of each quality, and its reciprocal, times 4096, (2, qualities)."""
    places: Tensor
    """Its distance in the row of scales, times 256, (qualities)."""

    def __init__(self, sizes: Float[Tensor, " c"], ratio: float, qualities: int) -> None:
        """`sizes` are those at the middle level; from the lowest level to the highest they grow by `ratio`."""
        super().__init__()
        self._octaves_of_levels = math.log2(ratio)
        self.register_buffer("octaves", sizes.log2().round().int())
        exponents = self._octaves_of_levels * (torch.linspace(0, 1, qualities, dtype=torch.float64) - 0.5)
        self.register_buffer("factors", (2.0 ** torch.stack([exponents, -exponents]) * (1 << WEIGHT_POINT)).round().int())
        self.register_buffer("places", (exponents * _OCTAVE * ONE).round().int())

    def sizes(self, level: PerImage) -> Float[Tensor, "n c 1 1"]:
        """The sizes of all channels at the level of each image."""
        return 2.0 ** (self.octaves + self._exponents(level))[:, :, None, None]

    def divided(self, latent: Maps, sizes: Maps) -> Maps:
        """The latent in units of its sizes, or of a quarter where they are less."""
        return latent / sizes.clamp_min(_LEAST)

    def scale_places(self, level: PerImage) -> Float[Tensor, "n c 1 1"]:
        """The place of each size in the row of scales."""
        return (_ONE_SCALE + _OCTAVE * (self.octaves + self._exponents(level)))[:, :, None, None]

    def channels(self) -> Float[Tensor, "c 1 1"]:
        """The sizes at the middle level, at least a quarter."""
        return (2.0 ** self.octaves.float()).clamp_min(_LEAST)[:, None, None]

    def _exponents(self, level: PerImage) -> Float[Tensor, "n 1"]:
        return self._octaves_of_levels * (level.float() - 0.5)[:, None]

    def whole(self, index: int) -> "WholeSpread":
        """The sizes of the quality number `index`, for whole numbers."""
        octaves, (factor, inverse) = self.octaves.cpu().double(), self.factors[:, index].tolist()
        place = round(_ONE_SCALE * ONE) + int(self.places[index]) + octaves * round(_OCTAVE * ONE)
        unit = 2.0**-WEIGHT_POINT
        return WholeSpread(size=factor * unit * 2.0**octaves, inverse=inverse * unit * 2.0**-octaves, place=place[:, None])


@dataclass(frozen=True, kw_only=True)
class WholeSpread:
    """Sizes for numbers that are multiplied by 256.

    Sizes have 12 binary digits after the point, shifted by a power of two, so that float64 holds every product with a number exactly.
    """

    size: Float64[Tensor, " c"]
    inverse: Float64[Tensor, " c"]
    """About 1 / size, with as many digits."""
    place: Float64[Tensor, "c 1"]
    """Places of sizes in the row of scales, times 256."""

    def divided(self, latent: Float64[Tensor, "c h w"]) -> Float64[Tensor, "c h w"]:
        """The latent in units of its sizes, or of a quarter where they are less, rounded to a whole number."""
        return (latent * self.inverse.clamp_max(1 / _LEAST)[:, None, None] + 0.5).floor()

    def grown(self, mean: Float64[Tensor, "c k"]) -> Float64[Tensor, "c k"]:
        """A mean in units of the sizes as a latent, rounded to a whole number."""
        return (mean * self.size[:, None] + 0.5).floor()
