"""What a layout says that foreign tensors are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from sfumato.core.errors import CheckpointError
from sfumato.models.base import NetworkSettings
from sfumato.store import checkpoint

Tensors: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class RecognizedWeights:
    """A family that knows the tensors."""

    layout: str
    """For people: which network in whose layout, and what was read off the shapes."""
    config: NetworkSettings
    """Settings of the network of ours that computes the same."""
    state: Tensors
    """Its weights."""
    notes: str = ""
    origin: str = ""
    """Address at which the authors of the layout publish it."""
    terms: str = ""
    """Licence that the authors state there for their own weights; empty if it is not known here."""
    others: tuple["RecognizedWeights", ...] = ()
    """Networks of other enlargements that the same tensors fit, the best guess being this one."""


def built(recognized: RecognizedWeights, path: Path) -> nn.Module:
    """The network, with its weights.

    Raises CheckpointError if they are not finite, or do not fit it, before any memory is taken: a small file must not ask for a large
    network.
    """
    checkpoint.check_finite(recognized.state, path)
    if reason := checkpoint.misfit(recognized.config, recognized.state):
        raise CheckpointError(f"{path}: looks like {recognized.layout}, but does not fit: {reason}")
    network = recognized.config.build()
    network.load_state_dict(recognized.state)
    return network
