"""Laplacian pyramid: images as sums of frequency bands of one octave (Burt & Adelson 1983, https://doi.org/10.1109/TCOM.1983.1095851)."""

import torch
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Resized


def equalize_bands_(x: Images, bands: int) -> Images:
    """`x` with each of `bands` frequency bands scaled to a standard deviation of 1, image by image; the last band holds all coarser ones.

    Works in place and processes one channel at a time, because each copy of a large picture is large.
    """
    with torch.autocast(x.device.type, enabled=False):
        if bands < 2 or min(x.shape[2:]) < 4:
            return _even_(x)
        low = halved(x)
        for i in range(x.shape[1]):
            x[:, i : i + 1] -= doubled(low[:, i : i + 1], x.shape[2:])
        _even_(x)
        rough = equalize_bands_(low, bands - 1)
        for i in range(x.shape[1]):
            x[:, i : i + 1] += doubled(rough[:, i : i + 1], x.shape[2:])
        return x


def halved(images: Images) -> Resized:
    """Images of half the size, rounded up: blurred by [1, 4, 6, 4, 1] / 16 along both axes, then every other row and column."""
    return _filtered(_filtered(images, 2), 3)


def doubled(images: Images, size: torch.Size) -> Maps:
    """Images of twice the size, cut to `size`: zeros between the pixels, then the filter of `halved`, normalised for the zeros."""
    for axis in (2, 3):
        images = _spread(images, axis, size[axis - 2])
    return images


def _even_(x: Images) -> Images:
    return x.div_(x.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12))


def _filtered(x: Maps, axis: int) -> Maps:
    # Sums of slices, because a convolution of one channel takes many times the memory of its image.
    wide = F.pad(x, (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0), mode="replicate")
    count = (x.shape[axis] + 1) // 2
    rows = wide.movedim(axis, 0)
    output = rows[2 : 2 * count + 1 : 2] * (6 / 16)
    for place, weight in ((0, 1), (1, 4), (3, 4), (4, 1)):
        output.add_(rows[place : place + 2 * count - 1 : 2], alpha=weight / 16)
    return output.movedim(0, axis)


def _spread(x: Maps, axis: int, length: int) -> Maps:
    # Padding repeats the border pixels, so that the border is no darker. Pixel k of the smaller image lies on pixel 2 k of the larger one.
    rows = F.pad(x, (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0), mode="replicate").movedim(axis, 0)
    output = rows.new_empty((length, *rows.shape[1:]))
    even, odd = output[::2], output[1::2]
    torch.add(rows[: len(even)], rows[2 : 2 + len(even)], out=even).add_(rows[1 : 1 + len(even)], alpha=6).div_(8)
    torch.add(rows[1 : 1 + len(odd)], rows[2 : 2 + len(odd)], out=odd).div_(2)
    return output.movedim(0, axis)
