"""Fidelity of a picture to another by the protocols of the literature: all channels or luma, with a border or without.

Luma is that of ITU-R BT.601 in studio range, not rounded, as MATLAB gives it for doubles. PSNR is 10 log10(255^2 / MSE) of each picture
over all channels together; the figure is the mean over pictures.
"""

import math

import torch

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.fidelity import WINDOW, psnr, ssim
from sfumato.metrics.interval import bootstrap

INTERVAL = "95 %, other pictures of the same kind, bootstrap"
"""The interval of `mean_of_pictures`, for its protocol."""


def as_stored(picture: Images) -> Maps:
    """One channel if all channels are the same, else all."""
    return picture[:, :1] if bool((picture == picture[:, :1]).all()) else picture


def luma(images: Images, *, full: bool = False) -> Maps:
    """Luma of ITU-R BT.601 in [16, 235] / 255, or in [0, 1] if `full`."""
    weight = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)[:, None, None] / 255
    if full:
        weight = weight / weight.sum()
    return (images.double().expand(-1, 3, -1, -1) * weight).sum(dim=1, keepdim=True) + (0 if full else 16 / 255)


def psnr_of(picture: Images, reference: Images, *, use_luma: bool = False, border: int = 0, full: bool = False) -> float:
    """PSNR in dB, at most 100, because that of equal pictures is infinite; `full` is the range of luma."""
    return min(100.0, psnr(*_compared(picture, reference, use_luma, border, full)).item())


def ssim_of(picture: Images, reference: Images, *, use_luma: bool = False, border: int = 0) -> float:
    """SSIM; NaN for a picture smaller than one window."""
    a, b = _compared(picture, reference, use_luma, border, full=False)
    return ssim(a, b).item() if min(a.shape[2:]) >= WINDOW else math.nan


def _compared(picture: Maps, reference: Maps, use_luma: bool, border: int, full: bool) -> tuple[Maps, Maps]:
    """Both pictures, or their luma, without a border of so many pixels."""
    if use_luma:
        picture, reference = luma(picture, full=full), luma(reference, full=full)
    inner = slice(border, -border or None)
    return picture[:, :, inner, inner], reference[:, :, inner, inner]


def mean_of_pictures(name: str, values: list[float], protocol: Protocol) -> Measurement:
    """The mean of `values`, one for each picture, with its interval; none for a single picture."""
    numbers = torch.tensor(values, dtype=torch.float64)
    interval = bootstrap(numbers.float(), rng=seeded_generator(0, "bootstrap")) if len(values) > 1 else None
    unit, higher = "dB" if name.startswith("psnr") else "", not name.startswith("lpips")
    return Measurement(name=name, value=numbers.mean().item(), interval=interval, unit=unit, higher_is_better=higher, protocol=protocol)
