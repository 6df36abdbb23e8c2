"""Between pixels as they are stored and images as networks take them: numbers and opacity."""

from typing import Any

import torch
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Planes
from sfumato.nn import fill

AROUND = 3
"""Pixels around each that enlarging opacity looks at."""
_BLEED = 5
"""How often the picture is halved for colours to put where nobody sees any."""


def as_images(pixels: Any) -> Images:
    """Stored pixels (8 or 16 bits, h w c) as one image in [0, 1]."""
    full = 65535 if pixels.dtype == torch.uint16 else 255
    return pixels.to(torch.float32).div_(full).permute(2, 0, 1)[None]


def as_pixels(images: Maps, kind: torch.dtype) -> Any:
    """One image as it is stored, clamped and rounded to nearest; the way back from `as_images` changes nothing."""
    full = 65535 if kind == torch.uint16 else 255
    # Channel by channel: of a large picture each copy is large.
    return torch.stack([plane.clamp(0, 1).mul_(full).round_().to(torch.int32).to(kind) for plane in images[0]], dim=2)


def bled(images: Images, alpha: Planes) -> Images:
    """`images` with means of what is around in the place of colours that nobody sees, where `alpha` is 0: else they would bleed out."""
    seen = (alpha > 0).to(images)
    if bool(seen.all()):
        return images
    h, w = images.shape[2:]
    more = (0, -w % (1 << _BLEED), 0, -h % (1 << _BLEED))
    made = fill.push_pull(F.pad(images, more), F.pad(seen, more), levels=_BLEED)
    return made[:, :, :h, :w]


def bleeding(start: int, stop: int, length: int) -> tuple[int, int]:
    """The rows, or columns, of `length` that `bled` has to be given for those to be as if it had been given all."""
    reach, step = fill.reach(_BLEED), 1 << _BLEED
    return max(0, start - reach) // step * step, min(length, -(-(stop + reach) // step) * step)


def hidden(output: Maps, before: Images, alpha: Planes) -> Maps:
    """`output` with the colours that were there where nobody sees them, unless it has become larger."""
    return torch.where(alpha > 0, output, before) if output.shape[2:] == before.shape[2:] else output


def enlarged(opacity: Maps, scale: int) -> Maps:
    """Cubic interpolation that looks `AROUND` pixels far, so that strips agree with the whole."""
    return opacity if scale == 1 else F.interpolate(opacity, scale_factor=scale, mode="bicubic")


def blended(before: Images, after: Maps, *, strength: float, observed: Planes | None) -> Maps:
    """`after` as strong as asked for, and where there is a mask, only there; as it is if it is larger than `before`."""
    if before.shape != after.shape:
        return after
    made = (before + strength * (after - before)).clamp(0, 1) if strength != 1 else after
    return made if observed is None else torch.where(observed > 0, before, made)
