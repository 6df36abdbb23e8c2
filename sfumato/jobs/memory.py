"""How much memory repairing takes, and so how large a tile may be."""

import math
from typing import Any

import torch

from sfumato.models.base import Restores

BASE = 6e8
"""Bytes that Python, torch and the image libraries take for themselves."""
_SIDES = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64)
_SPARE = 4.5
"""What is held at once, as a multiple of what the largest step reads and writes: skips, the image, results on their way; measured."""


def tile_for(network: Restores, memory: float, *, row: float = 0.0) -> int:
    """The side of the largest tile that `network` repairs in so many bytes, its context included; at least 32 pixels.

    `row` is what each row of the picture takes beside that.
    """
    reach = network.context or 0
    for tile in _SIDES:
        side = tile + 2 * reach
        if footprint(network) * side**2 + row * side <= memory:
            return tile
    return 32


@torch.no_grad()
def footprint(network: Restores) -> float:
    """Bytes that repairing one pixel takes at the height of the work, by what its steps read and write on a small image."""
    side, seen = math.ceil(64 / network.multiple) * network.multiple, [0]
    device = next(network.parameters()).device

    def note(module: Any, inputs: Any, output: Any) -> None:
        seen.append(sum(t.numel() for t in (*inputs, output) if isinstance(t, torch.Tensor)))

    hooks = [module.register_forward_hook(note) for module in network.modules() if not list(module.children())]
    try:
        planes = torch.zeros(1, len(network.takes), side, side, device=device) if network.takes else None
        for channels in {network.channels, 1} if network.both else {network.channels}:
            network.restore(torch.zeros(1, channels, side, side, device=device), planes)
    finally:
        for hook in hooks:
            hook.remove()
    return 4 * _SPARE * max(seen) / side**2
