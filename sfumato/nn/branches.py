"""Blocks whose branches lie side by side, chains of named steps, and how far each step of a chain sees.

    x ─┬─ step ─┬─ step ─ step ─┐
       │        └─ step ────────┼─ concatenated channels
       └─ step ─────────────────┘

Branches that begin with steps of the same name share them.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

Chain = Mapping[str, nn.Module]


class Sight(NamedTuple):
    """What a place of a map is made of."""

    stride: int = 1
    """Pixels from one place to the next."""
    field: int = 1
    """Side of the square of pixels that one place depends on, those outside the image included."""
    start: int = 0
    """First pixel of the first place's square; below 0 where the image is padded."""


class Branches(nn.Module):
    """Chains side by side on the same input; their channels one after the other."""

    def __init__(self, *chains: Chain) -> None:
        super().__init__()
        self.chains = tuple(tuple(chain) for chain in chains)
        for name, step in {name: step for chain in reversed(chains) for name, step in chain.items()}.items():
            self.add_module(name, step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen: dict[tuple[str, ...], torch.Tensor] = {(): x}
        for chain in self.chains:
            for end in range(1, len(chain) + 1):
                if chain[:end] not in seen:
                    seen[chain[:end]] = self.get_submodule(chain[end - 1])(seen[chain[: end - 1]])
        return torch.cat([seen[chain] for chain in self.chains], dim=1)


def unit(inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; `padded` keeps the size (but for the stride)."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2) if padded else (0, 0)
    conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs, eps=1e-3), relu=nn.ReLU()))


def sight(step: nn.Module, before: Sight) -> Sight:
    """What `step` sees after steps that saw `before`; of branches, what they see together. Looks at rows: kernels come in both ways."""
    if isinstance(step, Branches):
        ends = []
        for chain in step.chains:
            end = before
            for name in chain:
                end = sight(step.get_submodule(name), end)
            ends.append(end)
        first, last = min(end.start for end in ends), max(end.start + end.field for end in ends)
        return Sight(ends[0].stride, last - first, first)
    if isinstance(step, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride, padding = (
            int(side if isinstance(side, int) else side[0]) for side in (step.kernel_size, step.stride, step.padding)
        )
        return Sight(before.stride * stride, before.field + (kernel - 1) * before.stride, before.start - padding * before.stride)
    for child in step.children():
        before = sight(child, before)
    return before


def width_of(step: nn.Module, before: int) -> int:
    """Channels of what `step` makes of `before` channels."""
    if isinstance(step, Branches):
        return sum(_end_of(step, chain, before) for chain in step.chains)
    if isinstance(step, nn.Conv2d):
        return step.out_channels
    for child in step.children():
        before = width_of(child, before)
    return before


def _end_of(block: Branches, chain: tuple[str, ...], before: int) -> int:
    for name in chain:
        before = width_of(block.get_submodule(name), before)
    return before
