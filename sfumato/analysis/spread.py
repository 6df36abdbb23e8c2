"""Which blur a picture has, from its spectrum.

A blur multiplies the power of each frequency by a share that it alone decides: a lens out of focus leaves rings, a camera that moved
leaves stripes, where nothing is left (Gennery 1973, https://doi.org/10.1364/JOSA.63.001571; Cannon 1976,
https://doi.org/10.1109/TASSP.1976.1162770). Photographs' own power falls with frequency f as f^-a. So each blur, with an a and a
contrast, says how much power is to be expected, and noise adds its own; told is the blur by which what is seen is likeliest (Whittle 1953).
"""

import functools
import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.analysis.jpeg import luminance_tables
from sfumato.core.tensors import Images
from sfumato.nn.blurs import Blur
from sfumato.nn.wiener import centred

_SIDES = (128, 64)
"""Of the windows whose spectra are averaged, in pixels; the first that fits into the picture."""
_RINGS, _RAYS = 32, 24
"""Frequencies are averaged over the parts of a target: so many rings out to half a cycle for each pixel, and rays over half a turn."""
_SLOPES = torch.linspace(1.6, 3.4, 6)
"""Powers a by which photographs' spectra fall."""
_CONTRASTS = torch.logspace(-8, -1, 40)
"""Power of photographs at one cycle for each pixel, were they not blurred."""
_LUMA = (0.299, 0.587, 0.114)
_ROUNDING = 0.3 / 255
"""Noise of 8 bits."""
_HIDDEN = (1 / 255, 2 / 255)
"""Noise that a JPEG may have had where it keeps something, and nobody sees where it keeps nothing."""
_SPENT = 1.5
"""A JPEG keeps nothing of a frequency that has little more power than its quantisation."""
_ROUND, _STRAIGHT = 8.0, 50.0
"""By how much likelier, as a logarithm, a disk and a way must be than a Gaussian to be told. What is a way is so by hundreds, what is a
disk by tens; Gaussians come within 7 of either."""

_Bins = Float[Tensor, "_bins"]


@torch.no_grad()
def likeliest(crops: Images, *, noise: float, quality: int | None = None) -> Blur | None:
    """The blur of a picture that is blurred; `crops` are of that one picture.

    `noise` is its standard deviation as a share of full scale, `quality` libjpeg's if the picture is or has been a JPEG. Gaussians of 0.3
    to 3.3 pixels are told from disks of a radius of 1 to 6 and ways of 3 to 20 pixels; of what no JPEG harmed, in nearly all photographs.
    None if the picture is less than 64 pixels high or wide, or if nothing stands above its noise.
    """
    side = next((side for side in _SIDES if min(crops.shape[2:]) >= side), None)
    if side is None:
        return None
    spectrum = _power(crops, side)
    share = sum(weight**2 for weight in _LUMA) if crops.shape[1] == 3 else 1.0
    steps = torch.zeros_like(spectrum) if quality is None else _quantisation(quality, side)
    heard = (spectrum > _SPENT * steps).float()
    hidden = [level**2 for level in _HIDDEN if quality is not None and level > noise]
    floors = torch.tensor([max(noise**2 * share, _ROUNDING**2), *hidden])[:, None, None, None] + steps
    if not heard.any():
        return None

    @functools.cache
    def loss(blur: Blur) -> float:
        """Minus the logarithm of how likely the spectrum is, as if it were that of a single window: the model is never quite right."""
        power = _model(side) * _passed(blur, side)
        expected = _CONTRASTS[:, None, None] * power + floors
        each = (expected.log() + spectrum / expected) * (heard * _bins(side)[1] / 2)
        return each.sum(dim=-1).min().item()

    def best(blurs: Iterable[Blur]) -> Blur:
        return min(blurs, key=loss)

    smooth = best(Blur("gaussian", size / 20) for size in range(6, 68, 3))
    disk = best(Blur("defocus", size / 10) for size in range(10, 62, 2))
    rough = best(Blur("motion", size, turn / 2) for turn in range(0, 360, 15) for size in (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20))
    straight = best(
        Blur("motion", size, (rough.angle + turn) % 180)
        for turn in (-5, -2.5, 0, 2.5, 5)
        for size in range(max(3, int(rough.size) - 2), int(rough.size) + 3)
    )
    bound = loss(smooth)
    if loss(straight) < min(bound, loss(disk)) - _STRAIGHT:
        return straight
    return disk if loss(disk) < bound - _ROUND else smooth


def _power(crops: Images, side: int) -> _Bins:
    """Mean power of the picture's windows in each bin; white noise has its variance as its power."""
    luma = crops[:, 0] if crops.shape[1] == 1 else sum(weight * layer for weight, layer in zip(_LUMA, crops.unbind(1), strict=True))
    assert isinstance(luma, Tensor)
    windows = luma.unfold(1, side, side // 2).unfold(2, side, side // 2).reshape(-1, side, side)
    taper = torch.hann_window(side, periodic=False)
    taper = taper[:, None] * taper
    spectra = torch.fft.rfft2((windows - windows.mean(dim=(1, 2), keepdim=True)) * taper)
    return _binned(spectra.abs().square().mean(dim=0) / taper.square().sum(), side)


@functools.lru_cache(4096)
def _passed(blur: Blur, side: int) -> _Bins:
    """The share of the power that the blur leaves."""
    return _binned(torch.fft.rfft2(centred(blur.kernels(), side, side))[0].abs().square(), side)


@functools.cache
def _model(side: int) -> Float[Tensor, "_a _bins"]:
    """Power of photographs of contrast 1 for each of the slopes."""
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    return _binned((down.square() + right.square()).sqrt(), side) ** -_SLOPES[:, None]


@functools.lru_cache(200)
def _quantisation(quality: int, side: int) -> _Bins:
    """Variance of what a JPEG's rounding takes or adds."""
    down, right = (16 * torch.fft.fftfreq(side).abs(), 16 * torch.fft.rfftfreq(side))
    steps = luminance_tables()[quality - 1] / 255
    near = [places.round().clamp_max(7).long() for places in (down, right)]
    return _binned(steps[near[0]][:, near[1]].square() / 12, side)


@functools.cache
def _bins(side: int) -> tuple[Tensor, _Bins]:
    """The bin of each frequency, -1 of none, and how many fall into each."""
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    far = (down.square() + right.square()).sqrt()
    ring = (far * 2 * _RINGS).long()
    ray = (torch.atan2(down, right) % math.pi / math.pi * _RAYS).round().long() % _RAYS
    # The lowest ones are as the subject will have it, and those in the corners are few.
    which = torch.where((far >= 2.5 / side) & (ring < _RINGS), ring * _RAYS + ray, -1)
    taken, which = which.unique(return_inverse=True)
    counts = which.flatten().bincount().float()
    if taken[0] == -1:
        which, counts = which - 1, counts[1:]
    return which, counts


def _binned(spectrum: Float[Tensor, "h w"], side: int) -> _Bins:
    which, counts = _bins(side)
    inside = which >= 0
    return torch.zeros_like(counts).index_add_(0, which[inside], spectrum[inside]) / counts
