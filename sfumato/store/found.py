"""What a layout says that foreign tensors are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from sfumato.core.errors import CheckpointError

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


def built(found: Found, path: Path) -> Any:
    """The network, with its weights.

    Raises CheckpointError if they do not fit it, before any memory is taken: a small file must not ask for a large network.
    """
    with torch.device("meta"):
        expected = found.config.build().state_dict()
    for name in dict.fromkeys([*expected, *found.state]):
        there, here = (tuple(each[name].shape) if name in each else None for each in (found.state, expected))
        if there != here:
            says = "missing" if there is None else "of no use" if here is None else f"{there}, not {here}"
            raise CheckpointError(f"{path}: looks like {found.layout}, but does not fit: {name} is {says}")
    network = found.config.build()
    network.load_state_dict(found.state)
    return network
