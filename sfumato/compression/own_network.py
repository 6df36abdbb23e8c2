"""Files of `--effort max`: every tile with a network of its own, so that no codec is needed to decompress them.

pixels of a tile ─ search (`overfit.py`) ─ network and grids ─ stream (`picture_stream.py`)
stream ─ network and grids ─ synthesis ─ pixels; where a check does not fit, the coarse grids, the thumbnail, or grey
"""

import contextlib
from typing import NamedTuple

import torch

from sfumato.compression import container, planes
from sfumato.compression.container import Chunk, Container
from sfumato.compression.distortion import Tune
from sfumato.compression.overfit import overfitted
from sfumato.compression.picture_stream import COARSE, ReadPicture, decode, encode
from sfumato.core.errors import FormatError
from sfumato.core.progress import counted
from sfumato.core.tensors import Maps, Pixels, Sheet

STEPS = 700
"""Gradient steps for each tile."""
GREY = 128
"""The byte of pixels of which nothing is known."""
_ENOUGH = 0.05
"""Share of the numbers of a tile from which on they show more than the thumbnail does: about those of the coarse part."""


def own_chunk(pixels: Pixels, quality: int, tune: Tune) -> Chunk:
    """The stream of one tile, whose network is trained for it."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        code = encode(*overfitted(pixels, quality, steps=STEPS, tune=tune))
    return Chunk(stream=code.stream, lanes=code.lanes, hyper_check=code.coarse_check, check=code.check)


def own_chunks(pixels: Pixels, quality: int, side: int, tune: Tune) -> tuple[Chunk, ...]:
    """The streams of all tiles of `side` pixels."""
    areas = list(planes.areas((pixels.shape[0], pixels.shape[1]), side))
    tiles = (pixels[area.top : area.bottom, area.left : area.right] for area in counted(areas, "tiles"))
    return tuple(own_chunk(tile, quality, tune) for tile in tiles)


def own_thumbnail(pixels: Pixels) -> Chunk:
    """The stream of the small picture at the beginning of a file with tiles."""
    return own_chunk(planes.reduced(pixels, container.THUMBNAIL_SCALE), container.THUMBNAIL_QUALITY, "psnr")


def own_pixels(parts: Container) -> tuple[Pixels, list[str]]:
    """The pixels of a picture whose tiles have networks of their own, and what is wrong with them."""
    header, size = parts.header, parts.header.size
    areas = list(planes.areas(size, 1 << header.tile if header.tile else max(size)))
    pixels, faults = torch.full((*size, 3), GREY, dtype=torch.uint8), list[str]()
    small: Sheet | None = None
    if header.tile:
        tile = _tile(parts.thumbnail, planes.latent_size(size, container.THUMBNAIL_SCALE), container.THUMBNAIL_QUALITY)
        small, faults = tile.pixels if tile.share == 1 else None, [f"its thumbnail {tile.fault}"] if tile.fault else []
    for number, area in enumerate(counted(areas, "tiles")):
        tile = _tile(parts.tiles[number] if number < len(parts.tiles) else None, area.size, header.quality)
        if tile.fault:
            faults.append(f"{f'tile {number + 1} of {len(areas)}' if len(areas) > 1 else 'the picture'} {tile.fault}")
        target = pixels[area.top : area.bottom, area.left : area.right]
        if tile.pixels is not None and (tile.share >= _ENOUGH or small is None):
            target.copy_(tile.pixels)
        elif small is not None:
            target.copy_(planes.enlarged(small, container.THUMBNAIL_SCALE, area))
    return pixels, faults


class _Tile(NamedTuple):
    """A tile, as far as it is known."""

    pixels: Sheet | None
    fault: str = ""
    """What is wrong, as a clause."""
    share: float = 1.0
    """Share of the numbers that can be trusted."""


def _tile(chunk: Chunk | None, size: tuple[int, int], quality: int) -> _Tile:
    """The pixels of a tile, checked."""
    read: ReadPicture | None = None
    if chunk is not None:
        with contextlib.suppress(FormatError):  # not even its network
            read = decode(chunk.stream, chunk.lanes, size, quality)
    if chunk is None or read is None:
        return _Tile(None, "is missing", 0.0)
    if read.share == 1 and read.check == chunk.check:
        return _Tile(_painted(read))
    is_sound = read.coarse_read and read.coarse_check == chunk.hyper_check
    if read.share < 1 and not chunk.whole and (is_sound or not read.coarse_read):
        return _Tile(_painted(read), f"is cut off: {read.share:.0%} of its symbols are there, from coarse to fine", read.share)
    if not is_sound:
        return _Tile(None, "is damaged and cannot be shown", 0.0)
    for level in read.pyramid[:COARSE]:
        level.zero_()
    return _Tile(_painted(read), "is damaged and shows its coarse parts", _ENOUGH)


def _painted(read: ReadPicture) -> Sheet:
    """The bytes (h, w, 3) of a network and its grids."""
    values: list[Maps] = [level.float() for level in read.pyramid]
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        images = read.network.synthesis(values)
    return (images[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8)
