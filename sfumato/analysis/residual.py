"""Noise of any kind, from the difference between a picture and the same picture denoised by a blind network.

An estimate from patches (`noise.py`) measures white noise. In the noise of a camera neighbours are alike, after demosaicing, noise
reduction and JPEG, and an estimate from patches takes such noise for texture. A network that was trained on both can tell them apart.
A network takes away less noise than there is, so the level is a lower bound.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images
from sfumato.nn.channels import luma
from sfumato.nn.resample import mirror

_SQUARE = 8
"""Side in pixels of the squares in which the noise is measured."""
_AROUND = 5
"""Side in pixels of the mean from which details are counted."""
_FLAT = 0.3
"""Share of the squares that counts as flat: those with the least details."""
_LEAST, _CLEAR = 1.1 / 255, 0.5
"""Least noise in flat squares, and its least share of the details there, to count as noise. Of 170 clean photographs and drawings three are
above: what the network takes for noise in fine texture lies among stronger details."""
_COARSE = 0.15
"""Least correlation of neighbours in coarse noise."""
_SHADOW, _LIGHT = 0.25, 0.6
"""Brightness below which a square is shadow and above which it is light, as a share of full scale."""
_FEW = 20
"""Squares from which on a mean of them says something."""


@dataclass(frozen=True, kw_only=True)
class NoiseProfile:
    """Noise that a network took away. Standard deviations are shares of full scale."""

    level: float
    """Standard deviation over all pixels and channels: of the noise that there is, a lower bound."""
    flat: float
    """Median over flat squares of 8 x 8 pixels of the standard deviation of the brightness of the noise."""
    details: float
    """Standard deviation of the details of the denoised picture in the square that is the last to count as flat."""
    shadows: float | None
    """Standard deviation in dark squares, and None if there are few of them."""
    lights: float | None
    """The same in bright squares."""
    coloured: float
    """Variance of the colour of the noise over that of its brightness; of independent noise in three channels it is 5.2."""
    alike: float
    """Correlation of the noise with that of the next pixel, in [-1, 1]: 0 of white noise."""

    @property
    def noisy(self) -> bool:
        """Whether there is coarse noise in flat parts of the picture, and more of it than could be texture.

        White noise is left to the estimate from patches, which knows its true level.
        """
        return self.alike >= _COARSE and self.flat >= max(_LEAST, _CLEAR * self.details)

    def sentence(self) -> str:
        """The profile in plain words.

        >>> NoiseProfile(level=0.01, flat=0.008, details=0.001, shadows=0.02, lights=0.01, coloured=0.1, alike=0.5).sentence()
        'coarse noise of at least 2.6/255, stronger in shadows'
        """
        if not self.noisy:
            return "no noise seen"
        parts = [f"coarse noise of at least {self.level * 255:.1f}/255"]
        if self.coloured > 8:
            parts.append("mostly of colour")
        if self.shadows and self.lights and self.shadows > 1.5 * self.lights:
            parts.append("stronger in shadows")
        return ", ".join(parts)


@torch.no_grad()
def noise_profile(crops: Images, denoised: Images) -> NoiseProfile:
    """The noise in `crops` of one picture, of which `denoised` is what a blind denoiser made; both in [0, 1], grey or colour."""
    noise = crops - denoised
    brightness, bright_noise = luma(denoised), luma(noise)
    levels, lit = _means(bright_noise.square()).sqrt().flatten(), _means(brightness).flatten()
    smooth = F.avg_pool2d(mirror(brightness, _AROUND // 2), _AROUND, stride=1)
    details = _means((brightness - smooth).square()).sqrt().flatten()
    last = details.quantile(_FLAT)
    variance = noise.square().mean().item()
    around = _product(bright_noise, 3) + _product(bright_noise, 2)
    power = bright_noise.square().mean().clamp_min(1e-12)
    return NoiseProfile(
        level=variance**0.5,
        flat=levels[details <= last].median().item(),
        details=last.item(),
        shadows=_level(levels[lit < _SHADOW]),
        lights=_level(levels[lit > _LIGHT]),
        coloured=((noise - bright_noise).square().sum(dim=1).mean() / power).item(),
        alike=(around / 2 / power).item(),
    )


def _product(plane: Float[Tensor, "n 1 h w"], axis: int) -> Tensor:
    """Mean product of neighbours along `axis`."""
    length = plane.shape[axis] - 1
    return (plane.narrow(axis, 1, length) * plane.narrow(axis, 0, length)).mean()


def _means(plane: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 _h _w"]:
    return F.avg_pool2d(plane, min(_SQUARE, *plane.shape[2:]))


def _level(levels: Float[Tensor, " _m"]) -> float | None:
    return levels.square().mean().sqrt().item() if len(levels) >= _FEW else None
