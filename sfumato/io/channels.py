"""Conversion between stored pixels and images in [0, 1], and the treatment of opacity."""

import torch
from jaxtyping import UInt8, UInt16
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Planes
from sfumato.nn import fill
from sfumato.nn.resample import resize_in_bands

Pixels = UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]
"""Stored pixels of 8 or 16 bits a sample."""
AROUND = 3
"""Receptive radius in pixels of `enlarge_opacity`."""
_HALVINGS = 5
"""Halvings of the size for the colours of transparent pixels."""


def as_images(pixels: Pixels) -> Images:
    """Stored pixels (h, w, c) of 8 or 16 bits as one image (1, c, h, w) in [0, 1]."""
    full = 65535 if pixels.dtype == torch.uint16 else 255
    return pixels.to(torch.float32).div_(full).permute(2, 0, 1)[None]


def as_pixels(images: Maps, kind: torch.dtype) -> Tensor:
    """One image (1, c, h, w) as pixels (h, w, c) of dtype `kind`, clamped and rounded to nearest; the exact inverse of `as_images`."""
    full = 65535 if kind == torch.uint16 else 255
    # Channel by channel, because each copy of a large picture is large.
    return torch.stack([plane.clamp(0, 1).mul_(full).round_().to(torch.int32).to(kind) for plane in images[0]], dim=2)


def fill_transparent(images: Images, alpha: Planes) -> Images:
    """`images` with the colours of transparent pixels (`alpha` = 0) replaced by averages of visible ones around.

    A network would otherwise spread these arbitrary colours to visible pixels.
    """
    visible = (alpha > 0).to(images)
    if bool(visible.all()):
        return images
    h, w = images.shape[2:]
    padding = (0, -w % (1 << _HALVINGS), 0, -h % (1 << _HALVINGS))
    filled = fill.push_pull(F.pad(images, padding), F.pad(visible, padding), levels=_HALVINGS)
    return filled[:, :, :h, :w]


def fill_transparent_span(start: int, stop: int, length: int) -> tuple[int, int]:
    """The span of rows (or columns) that `fill_transparent` needs so that rows `start` to `stop` equal those of the whole picture.

    `length` is the number of all rows (or columns).
    """
    reach, step = fill.receptive_radius(_HALVINGS), 1 << _HALVINGS
    return max(0, start - reach) // step * step, min(length, -(-(stop + reach) // step) * step)


def keep_transparent(output: Maps, before: Images, alpha: Planes) -> Maps:
    """`output` with the original colours of transparent pixels from `before`; `output` unchanged if its size is another."""
    return torch.where(alpha > 0, output, before) if output.shape[2:] == before.shape[2:] else output


def enlarge_opacity(opacity: Maps, size: tuple[int, int]) -> Maps:
    """`opacity` enlarged to `size` (height, width) by cubic interpolation.

    For whole factors the radius is `AROUND` pixels, so that rows agree with the whole; for others the cubic is that of `nn/resample.py`.
    """
    h, w = opacity.shape[2:]
    if (h, w) == size:
        return opacity
    scale = size[0] // h
    if (h * scale, w * scale) == size:
        return F.interpolate(opacity, scale_factor=scale, mode="bicubic")
    return resize_in_bands(opacity, size)


def blended(before: Images, after: Maps, *, strength: float, observed: Planes | None) -> Maps:
    """`before` blended with `after` by `strength`, in [0, 1], and only at missing pixels (`observed` = 0) if there is a mask.

    `after` unchanged if its size is another than that of `before`.
    """
    if before.shape != after.shape:
        return after
    mixed = (before + strength * (after - before)).clamp(0, 1) if strength != 1 else after
    return mixed if observed is None else torch.where(observed > 0, before, mixed)
