"""Holes filled with averages: small holes from neighbouring pixels, wide holes from coarser images."""

import torch
from torch.nn import functional as F

from sfumato.core.tensors import Maps, Planes

SWEEPS = 2
"""Smoothing passes over missing pixels at each size."""


def push_pull(images: Maps, observed: Planes, *, levels: int) -> Maps:
    """`images` with missing pixels (`observed` = 0) filled with averages of observed ones; observed pixels stay unchanged.

    Averages of observed pixels are halved in size `levels` times; then, from the coarsest size on, missing pixels are taken from the next
    coarser image and smoothed (Gortler et al. 1996, https://doi.org/10.1145/237170.237200, section 3.6). Height and width must be
    multiples of 2**`levels`. Pixels without an observed one in reach become mid-grey, 0.5.
    """
    is_observed = observed > 0.5
    if levels:
        share = F.avg_pool2d(is_observed.to(images.dtype), 2)
        mean = F.avg_pool2d(images.masked_fill(~is_observed, 0.0), 2) / share.clamp_min(0.25)
        coarse = push_pull(mean, (share > 0).to(images.dtype), levels=levels - 1)
        guess = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    else:
        guess = torch.full_like(images, 0.5)
    filled = torch.where(is_observed, images, guess)
    for _ in range(SWEEPS):
        around = F.avg_pool2d(filled, 3, 1, 1, count_include_pad=False)
        filled = torch.where(is_observed, images, around)
    return filled


def receptive_radius(levels: int) -> int:
    """Largest distance in pixels between a pixel and those that `push_pull` fills it from."""
    return (SWEEPS + 2) * ((2 << levels) - 1)
