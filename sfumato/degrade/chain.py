"""Several degradations, one after another, each with a chance of its own, in the order given or shuffled: for blind training."""

import dataclasses
from typing import Annotated, Any

import torch

from sfumato.core.chance import Draws
from sfumato.core.errors import SettingError
from sfumato.core.settings import Range, settings
from sfumato.degrade.base import Degraded, spread


@settings
class Config:
    links: tuple[Any, ...] = ()
    """The degradations."""
    chances: Annotated[tuple[float, ...], Range(0, 1, "probability")] = ()
    """How often an image gets each of them; always if empty."""
    shuffle: bool = False
    """Whether every batch goes through them in an order of its own."""

    def check(self) -> None:
        if self.chances and len(self.chances) != len(self.links):
            raise SettingError(f"degrade/chain: {len(self.links)} links with {len(self.chances)} chances; give one chance for each link")

    def __call__(self, seen: Degraded, draws: Draws) -> Degraded:
        """Raises SettingError if a link that is not always taken changes the size."""
        chances = self.chances or (1.0,) * len(self.links)
        for i in draws.order(len(self.links)) if self.shuffle else range(len(self.links)):
            hit = draws.uniform() < chances[i]
            seen = _chosen(hit, self.links[i](seen, draws), seen) if chances[i] < 1 else self.links[i](seen, draws)
        return seen


def _chosen(hit: torch.Tensor, after: Degraded, before: Degraded) -> Degraded:
    if after.images.shape != before.images.shape:
        raise SettingError("degrade/chain: a link that changes the size must have chance 1, for a batch has one size")
    parts = {}
    for field in dataclasses.fields(Degraded):
        new, old = getattr(after, field.name), getattr(before, field.name)
        parts[field.name] = torch.where(hit if new.ndim == 1 else spread(hit), new, old)
    return Degraded(**parts)
