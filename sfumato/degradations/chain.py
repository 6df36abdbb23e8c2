"""Several degradations, one after another, each with a chance of its own, in the order given or shuffled: for blind training."""

import dataclasses
from typing import Annotated, Any

import torch
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Kernels
from sfumato.degradations.base import Degraded


@settings
class Config:
    id = "chain"
    links: tuple[Any, ...] = ()
    """The degradations."""
    chances: Annotated[tuple[float, ...], Range(0, 1, "probability")] = ()
    """How often an image gets each of them; always if empty."""
    shuffle: bool = False
    """Whether every batch goes through them in an order of its own."""

    def check(self) -> None:
        if self.chances and len(self.chances) != len(self.links):
            raise SettingError(f"chain: {len(self.links)} links with {len(self.chances)} chances; give one chance for each link")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Raises SettingError if a link that is not always taken changes the size."""
        chances = self.chances or (1.0,) * len(self.links)
        for i in draws.order(len(self.links)) if self.shuffle else range(len(self.links)):
            if chances[i] == 1:
                degraded = self.links[i](degraded, draws)
                continue
            hit = draws.uniform() < chances[i]
            lot = draws.among(hit)
            if hit.any():
                degraded = _joined(degraded, hit, self.links[i](_apply_to(degraded, hit), lot))
        return degraded


def _apply_to(degraded: Degraded, hit: torch.Tensor) -> Degraded:
    return Degraded(**{field.name: getattr(degraded, field.name)[hit] for field in dataclasses.fields(Degraded)})


def _joined(before: Degraded, hit: torch.Tensor, after: Degraded) -> Degraded:
    if after.images.shape[1:] != before.images.shape[1:]:
        raise SettingError("chain: a link that changes the size must have chance 1, for a batch has one size")
    before = dataclasses.replace(before, blur=_wide(before.blur, after.blur.shape[1]))
    after = dataclasses.replace(after, blur=_wide(after.blur, before.blur.shape[1]))
    parts = {}
    for field in dataclasses.fields(Degraded):
        parts[field.name] = getattr(before, field.name).clone()
        parts[field.name][hit] = getattr(after, field.name)
    return Degraded(**parts)


def _wide(kernels: Kernels, side: int) -> Kernels:
    """`kernels` of at least this odd side, with zeros around them."""
    return F.pad(kernels, (max(0, side - kernels.shape[1]) // 2,) * 4)
