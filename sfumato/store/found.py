"""What a layout says that foreign tensors are."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

Tensors: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A family that knows the tensors."""

    layout: str
    """For people: which network in whose layout, and what was read off the shapes."""
    config: Any
    """Settings of the network of ours that computes the same."""
    state: Tensors
    """Its weights."""
    notes: str = ""
