"""Images as sums of frequency bands, an octave each: the Laplacian pyramid of Burt & Adelson (1983, https://doi.org/10.1109/TCOM.1983.1095851)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.image import Images, Maps, Resized


def evened(images: Images, bands: int) -> Images:
    """`images` with each of so many bands brought to a standard deviation of 1, image by image; the last holds all that is coarser."""
    with torch.autocast(images.device.type, enabled=False):
        x = images.float()
        if bands < 2 or min(x.shape[2:]) < 4:
            return _even(x)
        low = halved(x)
        rough = evened(low, bands - 1)
        # In place: of a large picture these are large.
        fine = _even(x - doubled(low, x.shape[2:]))
        return fine.add_(doubled(rough, x.shape[2:]))


def halved(images: Images) -> Resized:
    """Blurred by [1, 4, 6, 4, 1] / 16 both ways, then every other row and column."""
    return _filtered(_filtered(images, 2), 3)


def doubled(images: Images, size: torch.Size) -> Maps:
    """Twice as large, at `size`: zeros between the pixels, then the same filter, each place made up for the zeros it saw."""
    for axis in (2, 3):
        images = _spread(images, axis, size[axis - 2])
    return images


def _even(x: Images) -> Images:
    return x / x.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


def _taps(x: Tensor, axis: int) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    return taps.view(1, 1, -1, 1) if axis == 2 else taps.view(1, 1, 1, -1)


def _filtered(x: Maps, axis: int) -> Maps:
    n, c, h, w = x.shape
    pad = (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0)
    flat = F.pad(x.reshape(n * c, 1, h, w), pad, mode="replicate")
    made = F.conv2d(flat, _taps(x, axis), stride=(2, 1) if axis == 2 else (1, 2))
    return made.reshape(n, c, *made.shape[2:])


def _spread(x: Maps, axis: int, length: int) -> Maps:
    n, c, h, w = x.shape
    flat = x.reshape(n * c, 1, h, w)
    pad = (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0)
    # Continued by its border pixels, so that the border is no darker; place k of what was halved lay on pixel 2 k.
    made = F.conv_transpose2d(F.pad(flat, pad, mode="replicate"), 2 * _taps(x, axis), stride=(2, 1) if axis == 2 else (1, 2))
    return made.narrow(axis, 4, length).reshape(n, c, *(length if i == axis else side for i, side in ((2, h), (3, w))))
