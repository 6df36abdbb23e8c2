"""Grids: how far a spectrum stands out at the frequencies at which networks that double sizes leave their traces.

A network that doubles the size of its maps, or halves them with a stride, treats neighbouring pixels differently. What it draws then
repeats every 2 pixels, or every 4, as lines in the spectrum (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard/; Zhang et
al. 2019, https://arxiv.org/abs/1907.06515). Photographs have none: their spectrum falls evenly.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, Resized

PERIODS = (2, 4)
"""Pixels after which a grid repeats, down, across or both."""
LEAST = 16
"""Sides of the smallest images that are looked at."""
REACH = 2
"""Frequencies to each side of the grid's that tell what is usual there."""


def grid(real: Images, generated: Resized) -> float:
    """How many times as far the spectrum of `generated` stands out at a grid's frequencies as that of `real`, where it does most.

    1 is no grid; images without one reach about 1.2 by chance where there are 256 of them, 1.4 where there are 64. The images of both
    sets are of one size. 1 for images with a side below 16 pixels, whose spectra are too coarse to tell.
    """
    return stands_out(power(real).mean(dim=0), power(generated).mean(dim=0))


def power(images: Images) -> Float[Tensor, "n _h _w"]:
    """The power spectrum of each image's brightness, with a mean of 1: an image of great contrast says no more than another.

    It is of whole periods: up to three rows and columns are left out. The mean brightness itself has no power.
    """
    longest = max(PERIODS)
    h, w = (side // longest * longest for side in images.shape[2:])
    brightness = images[:, :, :h, :w].detach().double().mean(dim=1)
    spectrum = torch.fft.fft2(brightness - brightness.mean(dim=(1, 2), keepdim=True)).abs().square()
    return spectrum / spectrum.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def stands_out(real: Float[Tensor, "h w"], generated: Float[Tensor, "h w"]) -> float:
    """`grid`, of the mean `power` of either set."""
    if min(real.shape) < LEAST:
        return 1.0
    return max(float(_peak(generated, *at) / _peak(real, *at)) for at in _frequencies(real))


def _frequencies(spectrum: Float[Tensor, "h w"]) -> list[tuple[int, int]]:
    h, w = spectrum.shape
    return [at for period in PERIODS for at in ((h // period, 0), (0, w // period), (h // period, w // period))]


def _peak(spectrum: Float[Tensor, "h w"], down: int, across: int) -> Float[Tensor, ""]:
    """Power at a frequency over the median of its neighbours: on an axis of the spectrum those of the axis, for these are stronger."""
    h, w = spectrum.shape
    steps = range(-REACH, REACH + 1)
    near = itertools.product(steps if down else (0,), steps if across else (0,))
    around = torch.stack([spectrum[(down + y) % h, (across + x) % w] for y, x in near if y or x])
    return (spectrum[down, across] / around.median().clamp(min=1e-12)).clamp(min=1e-6)
