"""Holes filled by averages: fine ones from next to them, wide ones from coarser images."""

import torch
from torch.nn import functional as F

from sfumato.core.tensors import Maps, Planes

SWEEPS = 2
"""Times that missing pixels become the mean of their surroundings, at each size."""


def push_pull(images: Maps, observed: Planes, *, levels: int) -> Maps:
    """`images` with what is missing (`observed` = 0) as means of what is known; sides are multiples of 2**levels.

    Means of the known are halved in size `levels` times; then, from the coarsest, what is missing is taken from the next coarser and
    smoothed (Gortler et al. 1996, https://doi.org/10.1145/237170.237200, section 3.6). A square of 2**levels pixels of which nothing is
    known, and nothing around it, becomes mid-grey. What is known stays as it is.
    """
    seen = observed > 0.5
    if levels:
        share = F.avg_pool2d(seen.to(images.dtype), 2)
        mean = F.avg_pool2d(images.masked_fill(~seen, 0.0), 2) / share.clamp_min(0.25)
        coarse = push_pull(mean, (share > 0).to(images.dtype), levels=levels - 1)
        guess = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    else:
        guess = torch.full_like(images, 0.5)
    made = torch.where(seen, images, guess)
    for _ in range(SWEEPS):
        around = F.avg_pool2d(made, 3, 1, 1, count_include_pad=False)
        made = torch.where(seen, images, around)
    return made


def reach(levels: int) -> int:
    """How many pixels away what `push_pull` looks at may lie."""
    return (SWEEPS + 2) * ((2 << levels) - 1)
