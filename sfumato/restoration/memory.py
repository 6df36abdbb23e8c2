"""Memory of a repair: the size of tiles that fit, and the cost of small tiles."""

import math
from collections.abc import Callable
from typing import NamedTuple

from sfumato.core.tensors import size_text
from sfumato.models.roles.restorer import Restorer
from sfumato.restoration.tiles import usage

BASE = 6e8
"""Bytes that Python, torch and the image libraries take."""
_SIDES = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64)
_LEAST = 32
"""Least side of a tile, for any memory."""
_WASTEFUL = 1 / 3
"""Least `usage` of square tiles; below it other shapes are tried, and if none reaches it, a remark is made."""
_MOST = 64
"""Most tiles side by side in the other shapes."""
_SPARE = 4.5
"""Memory at the peak, as a multiple of the tensors of the largest layer: skips, image and results included; measured."""


def tile_for(network: Restorer, memory: float, *, row: float = 0.0, pixel: float | None = None) -> int:
    """The side in pixels, at least 32, of the largest square tile that `network` repairs, with its context, in `memory` bytes.

    `row` is the number of further bytes for each row of the picture, and `pixel` that for each pixel of a tile (`footprint` if None).
    """
    reach, each = network.receptive_radius or 0, footprint(network) if pixel is None else pixel
    for tile in _SIDES:
        side = tile + 2 * reach
        if each * side**2 + row * side <= memory:
            return tile
    return _LEAST


class Tiling(NamedTuple):
    """Tiles of a picture."""

    tile: tuple[int, int]
    """Rows and columns of a tile, without its context."""
    usage: float
    """Pixels of the picture divided by all pixels that are computed, contexts included."""


def tiling(network: Restorer, size: tuple[int, int], memory: float, *, pixel: float, row: float = 0.0) -> Tiling:
    """The tiles in which `network` repairs a picture of this size in `memory` bytes; `pixel` and `row` are as for `tile_for`.

    Tiles are square, unless their usage would be less than a third: then the shape of largest usage among squares, strips and rectangles.
    """
    side = tile_for(network, memory, row=row, pixel=pixel)
    best = Tiling((side, side), usage(network, size, side))
    if best.usage >= _WASTEFUL:
        return best
    reach = math.ceil((network.receptive_radius or 0) / network.tile_multiple) * network.tile_multiple
    for count in range(1, min(_MOST, size[1] // _LEAST) + 1):
        wide = math.ceil(size[1] / count / network.tile_multiple) * network.tile_multiple
        rows = int(memory / (pixel * min(size[1], wide + 2 * reach) + row))
        tall = size[0] if rows >= size[0] else rows - 2 * reach
        if tall >= min(_LEAST, size[0]):
            candidate = Tiling((tall, wide), usage(network, size, (tall, wide)))
            best = max(best, candidate, key=lambda each: each.usage)
    return best


def cost(chosen: Tiling, network: Restorer, memory: float, needed: Callable[[float], Tiling]) -> str:
    """A remark on slow tiles, with the memory that would avoid them; empty if their usage is a third or more.

    `needed` returns the tiles for another amount of memory, in bytes.
    """
    if chosen.usage >= _WASTEFUL:
        return ""
    enough = next((more for i in range(1, 10_000) if needed(more := memory + i * 1e8).usage >= _WASTEFUL), None)
    advice = "" if enough is None else f"; {math.ceil(enough / 1e8) / 10:.1f}GB would do"
    return (
        f"--memory {memory / 1e9:.1f}GB leaves tiles of {size_text(chosen.tile)} pixels in a context of {network.receptive_radius}: "
        f"{1 / chosen.usage:.0f} times slower{advice}"
    )


def footprint(network: Restorer) -> float:
    """Bytes of memory for each pixel at the peak of a repair, from the tensors of the layers on a small image."""
    return 4 * _SPARE * network.largest_tensors()
