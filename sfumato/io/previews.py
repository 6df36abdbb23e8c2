"""Small copies of two pictures for a web page: each reduced as a whole, and the square that differs most at full size.

    file ─ open_pixels ─> PixelSource ─ band by band ─┬─ reduced ────────────> Preview of the whole
                                                      └─ largest difference ─> Preview of a square

A picture larger than memory is read some rows at a time, like its repair.
"""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images
from sfumato.io import decode, files, streaming
from sfumato.io.bit_depth import eight_bits

KIND = "webp"
"""Format of a preview."""
_QUALITY = 90
_LARGEST_PROFILE = 1 << 16
"""Bytes of a colour profile that a preview keeps; profiles of printers are larger, and those of screens and cameras are not."""
_BAND = 256
"""Rows that are read at once."""
_CELL = 64
"""Side in pixels of the squares whose differences are compared."""

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A copy of a picture, or of a part of it, in the format `KIND`."""

    size: tuple[int, int]
    """Height and width of the copy in pixels."""
    content: bytes


@dataclass(frozen=True, kw_only=True)
class PixelSource:
    """An open picture whose pixels can be read in bands of rows."""

    size: tuple[int, int]
    colours: int
    """1 or 3; opacity may follow."""
    rows: Callable[[int, int], UInt8[Tensor, "_h _w _c"]]
    """Maps the first row and the one after the last to pixels of 8 bits."""
    icc: bytes


@contextlib.contextmanager
def open_pixels(path: Path, *, memory: float) -> Iterator[PixelSource]:
    """The picture in a file; it is held whole if that takes no more than `memory` bytes, else its pixels are unpacked to a temporary file.

    Raises ImageError for a file that is no picture, MissingExtraError for a large one without pyvips.
    """
    pixels = streaming.megapixels(path) * 1e6
    if pixels <= decode.MAX_PIXELS and pixels * 12 <= memory:
        picture = files.read(path)
        parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
        whole = torch.cat([eight_bits(part) for part in parts], dim=2)
        yield PixelSource(
            size=(whole.shape[0], whole.shape[1]),
            colours=picture.pixels.shape[2],
            rows=lambda start, stop: whole[start:stop],
            icc=picture.icc,
        )
        return
    with streaming.open_rows(path) as source:
        yield PixelSource(
            size=source.size,
            colours=source.channels,
            rows=lambda start, stop: eight_bits(source.rows(start, stop)),
            icc=source.metadata.icc,
        )


def reduced(source: PixelSource, *, side: int) -> Preview:
    """The whole picture, reduced by a whole number of times until no side is longer than `side` pixels."""
    h, w = source.size
    factor = math.ceil(max(h, w) / side)
    step = max(1, _BAND // factor) * factor
    bands = [_shrunk(source.rows(start, min(h, start + step)), source.colours, factor) for start in range(0, h, step)]
    return _encoded(torch.cat(bands), source)


def difference_at(before: PixelSource, after: PixelSource) -> tuple[int, int]:
    """Row and column of the middle of the square of pixels in `after` that differs most from `before`.

    Where the two have different sizes, it is the square of `after` with the most contrast.
    """
    (h, w), same = after.size, before.size == after.size
    best, place = -1.0, (h // 2, w // 2)
    for top in range(0, h, _CELL):
        stop = min(h, top + _CELL)
        band = after.rows(top, stop).float()
        other = before.rows(top, stop).float() if same else band.mean(dim=(0, 1), keepdim=True).expand_as(band)
        if band.shape != other.shape:  # grey became colour, or opacity was lost
            band, other = band[..., : min(band.shape[2], other.shape[2])], other[..., : min(band.shape[2], other.shape[2])]
        columns = F.avg_pool1d((band - other).abs().mean(dim=(0, 2))[None], _CELL, ceil_mode=True)[0]
        index = int(columns.argmax())
        value = float(columns[index]) * (stop - top) / _CELL
        if value > best:
            best, place = value, ((top + stop) // 2, min(w, index * _CELL + _CELL // 2))
    return place


def square(source: PixelSource, middle: tuple[float, float], *, side: int) -> Preview:
    """The part of the picture of at most `side` x `side` pixels around the point `middle`, which is given as shares of height and width."""
    (top, bottom), (left, right) = (_around(share * length, side, length) for share, length in zip(middle, source.size, strict=True))
    return _encoded(source.rows(top, bottom)[:, left:right], source)


def _around(place: float, side: int, length: int) -> Span:
    """The span of at most `side` pixels around `place`, inside [0, `length`)."""
    start = max(0, min(length - side, round(place - side / 2)))
    return start, min(length, start + side)


def _shrunk(pixels: UInt8[Tensor, "_h _w _c"], colours: int, factor: int) -> UInt8[Tensor, "_rows _columns _c"]:
    """The mean of each square of `factor` x `factor` pixels; transparent pixels have no weight in the mean of colours."""
    if factor == 1:
        return pixels
    images: Images = pixels.permute(2, 0, 1)[None].float()
    alpha = images[:, colours:] / 255 if images.shape[1] > colours else None
    if alpha is None:
        means = _means(images, factor)
    else:
        opacity = _means(alpha, factor)
        means = torch.cat([_means(images[:, :colours] * alpha, factor) / opacity.clamp_min(1e-6), opacity * 255], dim=1)
    return means[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def _means(images: Images, factor: int) -> Float[Tensor, "n c _h _w"]:
    return F.avg_pool2d(images, factor, ceil_mode=True, count_include_pad=False)


def _encoded(pixels: UInt8[Tensor, "_h _w _c"], source: PixelSource) -> Preview:
    """The pixels as a file. A colour profile is kept if it is small, so that colours look as they do in the picture."""
    array = np.ascontiguousarray(pixels.numpy())
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image = image.convert("RGBA" if array.shape[2] in (2, 4) else "RGB")
    profile = source.icc if source.colours == 3 and len(source.icc) <= _LARGEST_PROFILE else b""
    content = io.BytesIO()
    image.save(content, KIND, quality=_QUALITY, icc_profile=profile)
    return Preview(size=(array.shape[0], array.shape[1]), content=content.getvalue())
