"""Grid artefacts: the power of a spectrum at the frequencies that networks add when they double the size of their maps.

A network that doubles the size of its maps, or halves them with a stride, treats neighbouring pixels differently. Its images then
repeat every 2 or every 4 pixels, with peaks in the spectrum (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard/; Zhang et
al. 2019, https://arxiv.org/abs/1907.06515). Photographs have no such peaks: their spectrum falls evenly.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, Resized

PERIODS = (2, 4)
"""Periods of a grid in pixels, down, across or both."""
LEAST = 16
"""Smallest side, in pixels, of an image whose spectrum is fine enough."""
REACH = 2
"""Neighbouring frequencies, to each side of the grid's, whose median is the reference."""


def grid(real: Images, generated: Resized) -> float:
    """The largest ratio, over the frequencies of a grid, of the peak in the spectrum of `generated` to that in the spectrum of `real`.

    1 means no grid. Without a grid, 256 images reach about 1.2 by chance, and 64 images about 1.4. The images of both sets have one
    size. The result is 1 for images with a side below 16 pixels, whose spectra are too coarse.
    """
    return stands_out(power(real).mean(dim=0), power(generated).mean(dim=0))


def power(images: Images) -> Float[Tensor, "n _h _w"]:
    """The power spectrum of each image's brightness, divided by its mean, so that images of high contrast weigh no more than others.

    Sides are cut to whole periods: up to three rows and columns are left out. The mean brightness is subtracted.
    """
    longest = max(PERIODS)
    h, w = (side // longest * longest for side in images.shape[2:])
    brightness = images[:, :, :h, :w].detach().double().mean(dim=1)
    spectrum = torch.fft.fft2(brightness - brightness.mean(dim=(1, 2), keepdim=True)).abs().square()
    return spectrum / spectrum.mean(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def stands_out(real: Float[Tensor, "h w"], generated: Float[Tensor, "h w"]) -> float:
    """`grid`, from the mean `power` of each set."""
    if min(real.shape) < LEAST:
        return 1.0
    return max(float(_peak(generated, *at) / _peak(real, *at)) for at in _frequencies(real))


def _frequencies(spectrum: Float[Tensor, "h w"]) -> list[tuple[int, int]]:
    """The frequencies (down, across) of a grid of each period."""
    h, w = spectrum.shape
    return [at for period in PERIODS for at in ((h // period, 0), (0, w // period), (h // period, w // period))]


def _peak(spectrum: Float[Tensor, "h w"], down: int, across: int) -> Float[Tensor, ""]:
    """Power at a frequency over the median power of its neighbours. On an axis of the spectrum, which is stronger, these lie on it too."""
    h, w = spectrum.shape
    steps = range(-REACH, REACH + 1)
    near = itertools.product(steps if down else (0,), steps if across else (0,))
    around = torch.stack([spectrum[(down + y) % h, (across + x) % w] for y, x in near if y or x])
    return (spectrum[down, across] / around.median().clamp(min=1e-12)).clamp(min=1e-6)
