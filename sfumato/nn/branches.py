"""Blocks of parallel branches, each a chain of named steps, and the receptive field of each step.

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


class ReceptiveField(NamedTuple):
    """Pixels of the input image that one position of a map depends on."""

    stride: int = 1
    """Pixels from one position to the next."""
    field: int = 1
    """Side in pixels of the square that one position depends on, padding included."""
    start: int = 0
    """First pixel of the first position's square; below 0 where the image is padded."""


class Branches(nn.Module):
    """Runs several chains of steps on the same input and concatenates their channels."""

    def __init__(self, *chains: Chain) -> None:
        super().__init__()
        self.chains = tuple(tuple(chain) for chain in chains)
        for name, step in {name: step for chain in reversed(chains) for name, step in chain.items()}.items():
            self.add_module(name, step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: dict[tuple[str, ...], torch.Tensor] = {(): x}
        for chain in self.chains:
            for end in range(1, len(chain) + 1):
                if chain[:end] not in outputs:
                    outputs[chain[:end]] = self.get_submodule(chain[end - 1])(outputs[chain[: end - 1]])
        return torch.cat([outputs[chain] for chain in self.chains], dim=1)


def conv_norm_relu(inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU; with `padded` and stride 1 the size stays the same."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2) if padded else (0, 0)
    conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs, eps=1e-3), relu=nn.ReLU()))


def receptive_field(step: nn.Module, before: ReceptiveField) -> ReceptiveField:
    """The receptive field after `step`, if that of its input is `before`; of branches, the union of theirs.

    Only rows are measured: every network with oblong kernels has each of them in both orientations.
    """
    if isinstance(step, Branches):
        ends = []
        for chain in step.chains:
            end = before
            for name in chain:
                end = receptive_field(step.get_submodule(name), end)
            ends.append(end)
        first, last = min(end.start for end in ends), max(end.start + end.field for end in ends)
        return ReceptiveField(ends[0].stride, last - first, first)
    if isinstance(step, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride, padding = (
            int(side if isinstance(side, int) else side[0]) for side in (step.kernel_size, step.stride, step.padding)
        )
        return ReceptiveField(before.stride * stride, before.field + (kernel - 1) * before.stride, before.start - padding * before.stride)
    for child in step.children():
        before = receptive_field(child, before)
    return before


def output_channels(step: nn.Module, before: int) -> int:
    """Number of output channels of `step` for an input of `before` channels."""
    if isinstance(step, Branches):
        return sum(_end_of(step, chain, before) for chain in step.chains)
    if isinstance(step, nn.Conv2d):
        return step.out_channels
    for child in step.children():
        before = output_channels(child, before)
    return before


def _end_of(block: Branches, chain: tuple[str, ...], before: int) -> int:
    for name in chain:
        before = output_channels(block.get_submodule(name), before)
    return before
