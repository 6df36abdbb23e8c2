"""An objective is a list of phases; a phase is some weights and the loss that moves them.

One network and one loss is one phase. A GAN is two, and a third for a lazy penalty. The loop knows nothing else about what
it trains.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, Labels, Resized, Scalar
from sfumato.degradations.base import Degraded

Losses = dict[str, Scalar]
"""Named scalars for the log; "total" is the one that is differentiated."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a phase sees. `degraded` is `clean` itself unless the recipe has a degradation."""

    clean: Images
    degraded: Resized
    labels: Labels | None
    rng: torch.Generator
    images_seen: int
    """Images seen before this batch."""
    progress: float
    """`images_seen` as a share of the whole run, in [0, 1]."""
    damage: Degraded | None = None
    """What was done to `clean`, if anything."""
    part: int = 0
    parts: int = 1
    """How many processes share the batch, and which of them this is."""

    @property
    def draws(self) -> Draws:
        """Random numbers for the images of the batch, on their device."""
        return Draws(rng=self.rng, count=len(self.clean), part=self.part, parts=self.parts, device=self.clean.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers of `shape` for each image of the batch, on its device."""
        return self.draws.normal(*shape)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) of `shape` for each image of the batch, on its device."""
        return self.draws.uniform(*shape)


class Memory(nn.Module):
    """What an objective remembers from step to step, as buffers of float32: a part of the state from which a killed run goes on.

    After each step of its phase every buffer becomes its mean over the processes that share the batch. So a loss may add to a buffer
    only what is a mean over its own images, and decide by what it finds there, which is then the same in all processes.
    """

    dials: dict[str, tuple[float, float]]
    """Buffers that whoever watches the run may set, and between which values."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Some weights, the loss that moves them, and how often."""

    name: str
    weights: list[nn.Parameter]
    loss: Callable[[Batch], Losses]
    every: int = 1
    """Runs on every k-th step only; for costly penalties."""
    memory: Memory | None = None
    """What the loss remembers, in the one phase that changes it."""


@runtime_checkable
class Objective(Protocol):
    """Settings that know how to turn a network into phases.

    May also have `validate(model, batch) -> Losses`, figures on held-out images, and `finish(model, stream)`, what is done once to
    the trained network, such as fitting a prior.
    """

    def phases(self, model: object) -> list[Phase]:
        """The phases that train `model`; their weights are disjoint or equal, and cover what is to be trained."""
        ...
