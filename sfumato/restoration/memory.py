"""How much memory repairing takes, and so how large a tile may be, and what small ones cost."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.core.tensors import size_text
from sfumato.models.roles.restorer import Restorer
from sfumato.restoration.tiles import usage

BASE = 6e8
"""Bytes that Python, torch and the image libraries take for themselves."""
_SIDES = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64)
_LEAST = 32
"""No side of a tile is smaller, however little memory there is."""
_WASTEFUL = 1 / 3
"""Share of use below which the squares of `tile_for` give way to strips, and if these are no better, a person is told."""
_MOST = 64
"""Tiles beside each other in what else is tried than squares."""
_SPARE = 4.5
"""What is held at once, as a multiple of what the largest step reads and writes: skips, the image, results on their way; measured."""


def tile_for(network: Restorer, memory: float, *, row: float = 0.0, pixel: float | None = None) -> int:
    """The side of the largest tile that `network` repairs in so many bytes, its context included; at least 32 pixels.

    `row` is what each row of the picture takes beside that, and `pixel` what each pixel of a tile takes, if its `footprint` is known.
    """
    reach, each = network.receptive_radius or 0, footprint(network) if pixel is None else pixel
    for tile in _SIDES:
        side = tile + 2 * reach
        if each * side**2 + row * side <= memory:
            return tile
    return _LEAST


class Tiling(NamedTuple):
    """How a picture is taken apart."""

    tile: tuple[int, int]
    """Rows and columns of what is computed at once, without its context."""
    usage: float
    """Pixels of the picture over all that are computed for it."""


def tiling(network: Restorer, size: tuple[int, int], memory: float, *, pixel: float, row: float = 0.0) -> Tiling:
    """The tiles in which `network` repairs a picture of this size in so many bytes; `pixel` and `row` are as for `tile_for`.

    They are square, unless less than a third of what is computed would be of use: then of strips down, strips across and rectangles
    those that waste least.
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
            found = Tiling((tall, wide), usage(network, size, (tall, wide)))
            best = max(best, found, key=lambda each: each.usage)
    return best


def cost(chosen: Tiling, network: Restorer, memory: float, needed: Callable[[float], Tiling]) -> str:
    """What to tell a person whose `memory` leaves such tiles, and how much of it would do; nothing if a third of the work is of use.

    `needed` gives the tiles for another amount of memory, both in bytes.
    """
    if chosen.usage >= _WASTEFUL:
        return ""
    enough = next((more for i in range(1, 10_000) if needed(more := memory + i * 1e8).usage >= _WASTEFUL), None)
    advice = "" if enough is None else f"; {math.ceil(enough / 1e8) / 10:.1f}GB would do"
    return (
        f"--memory {memory / 1e9:.1f}GB leaves tiles of {size_text(chosen.tile)} pixels in a context of {network.receptive_radius}: "
        f"{1 / chosen.usage:.0f} times slower{advice}"
    )


@torch.no_grad()
def footprint(network: Restorer) -> float:
    """Bytes that repairing one pixel takes at the height of the work, by what its steps read and write on a small image."""
    side, seen = math.ceil(64 / network.pad_multiple) * network.pad_multiple, [0]
    device = next(network.parameters()).device

    def note(module: object, inputs: tuple[Tensor, ...], output: object) -> None:
        seen.append(sum(t.numel() for t in (*inputs, output) if isinstance(t, torch.Tensor)))

    hooks = [module.register_forward_hook(note) for module in network.modules() if not list(module.children())]
    try:
        planes = torch.zeros(1, len(network.conditioning), side, side, device=device) if network.conditioning else None
        for channels in {network.channels, 1} if network.has_grey_path else {network.channels}:
            network.restore(torch.zeros(1, channels, side, side, device=device), planes)
    finally:
        for hook in hooks:
            hook.remove()
    return 4 * _SPARE * max(seen) / side**2
