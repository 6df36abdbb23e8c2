"""Kind and size of the blur of a picture, from its spectrum.

A blur multiplies the power at each frequency by a factor that depends on the blur alone: a lens out of focus removes rings of
frequencies, a moving camera removes stripes (Gennery 1973, https://doi.org/10.1364/JOSA.63.001571; Cannon 1976,
https://doi.org/10.1109/TASSP.1976.1162770). The power of sharp photographs falls with frequency f as f^-a. So a blur, an exponent a and a
contrast predict the power spectrum, to which noise adds its own. The estimate is the blur of largest likelihood (Whittle 1953).
"""

import functools
import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.analysis.jpeg import luminance_tables
from sfumato.core.tensors import Images
from sfumato.nn.blurs import Blur
from sfumato.nn.channels import LUMA, luma
from sfumato.nn.wiener import centred

_SIDES = (128, 64)
"""Sides of the windows whose spectra are averaged, in pixels: the first that fits decides, the next confirms a motion."""
_RINGS, _RAYS = 32, 24
"""Frequencies are averaged over bins in polar coordinates: rings up to half a cycle for each pixel, and rays over half a turn."""
_SLOPES = torch.linspace(1.6, 3.4, 6)
"""Exponents a of the spectra of photographs."""
_CONTRASTS = torch.logspace(-8, -1, 40)
"""Power of sharp photographs at one cycle for each pixel."""
_STRIDE = 4
"""Every so many contrasts are tried first, and then those about the best: the likelihood has one maximum in 331 of 332 pictures."""
_ROUNDING = 0.3 / 255
"""Standard deviation of the rounding error of 8 bits."""
_HIDDEN = (1 / 255, 2 / 255)
"""Noise that a picture may have had before it became a JPEG: the JPEG keeps it only at frequencies that are not rounded to 0."""
_SPENT = 1.5
"""Frequencies with less power than so many times the quantisation noise of a JPEG do not count."""
_ROUND, _STRAIGHT = 8.0, 50.0
"""Least log-likelihood ratio against a Gaussian at which a disk and a motion are reported. For true motion it is hundreds, for true disks
tens; for true Gaussians at most 7."""

_Bins = Float[Tensor, "_bins"]


@torch.no_grad()
def likeliest(crops: Images, *, noise: float, quality: int | None = None, matters: Callable[[Blur], bool] = lambda _: True) -> Blur | None:
    """The blur of a blurred picture, of which all `crops` are.

    `noise` is the standard deviation of the noise as a share of full scale, `quality` the quality by libjpeg's scale if the picture is or
    has been a JPEG. Candidates are Gaussians of 0.3 to 3.3 pixels, disks with radii of 1 to 6 pixels and motion of 3 to 20 pixels; without
    JPEG the right kind is reported for nearly all photographs. Motions, which take most of the time, are tried only if one of them, or the
    best of the others, `matters`. None if a side is under 64 pixels, or if no frequency exceeds the noise.
    """
    sides = [side for side in _SIDES if min(crops.shape[2:]) >= side]
    losses = [_losses(crops, side, noise, quality) for side in sides]
    if not losses or losses[0] is None:
        return None
    loss = functools.cache(losses[0])

    def best(blurs: Iterable[Blur]) -> Blur:
        return min(blurs, key=loss)

    smooth = best(Blur("gaussian", size / 20) for size in range(6, 68, 3))
    disk = best(Blur("defocus", size / 10) for size in range(10, 62, 2))
    bound = loss(smooth)
    plain = disk if loss(disk) < bound - _ROUND else smooth
    if not any(map(matters, [plain, *(Blur("motion", size) for size in range(3, 23))])):
        return plain
    rough = best(Blur("motion", size, turn / 2) for turn in range(0, 360, 15) for size in (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20))
    straight = best(
        Blur("motion", size, (rough.angle + turn) % 180)
        for turn in (-5, -2.5, 0, 2.5, 5)
        for size in range(max(3, int(rough.size) - 2), int(rough.size) + 3)
    )
    # Furrows and boards have a spectrum like that of a motion in windows of one size only.
    everywhere = all(each is None or each(straight) <= each(smooth) for each in losses[1:])
    if everywhere and loss(straight) < min(bound, loss(disk)) - _STRAIGHT:
        return straight
    return plain


def _losses(crops: Images, side: int, noise: float, quality: int | None) -> Callable[[Blur], float] | None:
    """The negative log-likelihood of each blur, by windows of this side; None if no frequency exceeds the noise."""
    spectrum = _power(crops, side)
    share = sum(weight**2 for weight in LUMA) if crops.shape[1] == 3 else 1.0
    steps = torch.zeros_like(spectrum) if quality is None else _quantisation(quality, side)
    usable = (spectrum > _SPENT * steps).float()
    hidden = [level**2 for level in _HIDDEN if quality is not None and level > noise]
    floors = torch.tensor([max(noise**2 * share, _ROUNDING**2), *hidden])[:, None, None, None] + steps

    weights = usable * _bins(side)[1] / 2

    def of_contrasts(power: Tensor, contrasts: Tensor) -> Tensor:
        expected = contrasts[:, None, None] * power + floors
        return ((expected.log() + spectrum / expected) @ weights).amin(dim=(0, 2))

    def loss(blur: Blur) -> float:
        """Negative log-likelihood of the spectrum, as of a single window, since the model is never exact."""
        power = _model(side) * _passed(blur, side)
        coarse = of_contrasts(power, _CONTRASTS[::_STRIDE])
        nearest = int(coarse.argmin()) * _STRIDE
        near = _CONTRASTS[max(0, nearest - _STRIDE + 1) : nearest + _STRIDE]
        return min(coarse.min().item(), of_contrasts(power, near).min().item())

    return loss if usable.any() else None


def _power(crops: Images, side: int) -> _Bins:
    """Mean power of the picture's windows in each bin; white noise has its variance as its power."""
    windows = luma(crops)[:, 0].unfold(1, side, side // 2).unfold(2, side, side // 2).reshape(-1, side, side)
    taper = torch.hann_window(side, periodic=False)
    taper = taper[:, None] * taper
    spectra = torch.fft.rfft2((windows - windows.mean(dim=(1, 2), keepdim=True)) * taper)
    return _binned(spectra.abs().square().mean(dim=0) / taper.square().sum(), side)


@functools.lru_cache(4096)
def _passed(blur: Blur, side: int) -> _Bins:
    """The factor by which the blur multiplies the power."""
    return _binned(torch.fft.rfft2(centred(blur.kernels(), side, side))[0].abs().square(), side)


@functools.cache
def _model(side: int) -> Float[Tensor, "_a _bins"]:
    """Power of photographs of contrast 1 for each of the slopes."""
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    return _binned((down.square() + right.square()).sqrt(), side) ** -_SLOPES[:, None]


@functools.lru_cache(200)
def _quantisation(quality: int, side: int) -> _Bins:
    """Variance of the rounding error of a JPEG."""
    down, right = (16 * torch.fft.fftfreq(side).abs(), 16 * torch.fft.rfftfreq(side))
    steps = luminance_tables()[quality - 1] / 255
    near = [places.round().clamp_max(7).long() for places in (down, right)]
    return _binned(steps[near[0]][:, near[1]].square() / 12, side)


@functools.cache
def _bins(side: int) -> tuple[Tensor, _Bins]:
    """The number of the bin of each frequency, -1 for none, and the count of frequencies in each bin."""
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    far = (down.square() + right.square()).sqrt()
    ring = (far * 2 * _RINGS).long()
    ray = (torch.atan2(down, right) % math.pi / math.pi * _RAYS).round().long() % _RAYS
    # The lowest frequencies depend on the subject, and those in the corners are few.
    which = torch.where((far >= 2.5 / side) & (ring < _RINGS), ring * _RAYS + ray, -1)
    taken, which = which.unique(return_inverse=True)
    counts = which.flatten().bincount().float()
    if taken[0] == -1:
        which, counts = which - 1, counts[1:]
    return which, counts


def _binned(spectrum: Float[Tensor, "h w"], side: int) -> _Bins:
    """The mean of `spectrum` in each bin."""
    which, counts = _bins(side)
    inside = which >= 0
    return torch.zeros_like(counts).index_add_(0, which[inside], spectrum[inside]) / counts
