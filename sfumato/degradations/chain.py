"""Several degradations in sequence, each with its own probability, in fixed or random order: for blind restoration."""

import dataclasses
from typing import Annotated, Any

import torch
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Kernels, size_text
from sfumato.degradations.base import Degraded


@settings
class Config:
    """Settings of a sequence of degradations."""

    id = "chain"
    links: tuple[Any, ...] = ()
    """Settings of the degradations."""
    chances: Annotated[tuple[float, ...], Range(0, 1, "probability")] = ()
    """Probability of each degradation for an image; 1 for all if empty."""
    shuffle: bool = False
    """Draws a random order of the degradations for each batch."""

    def check(self) -> None:
        if self.chances and len(self.chances) != len(self.links):
            raise SettingError(f"chain: {len(self.links)} links with {len(self.chances)} chances; give one probability for each link")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Raises SettingError if a degradation with a probability below 1 changes the size."""
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
        old, new = (size_text(part.images.shape[2:]) for part in (before, after))
        raise SettingError(f"chain: a link changes the size from {old} to {new}, and a batch has one size; set its chance to 1")
    before = dataclasses.replace(before, blur=_wide(before.blur, after.blur.shape[1]))
    after = dataclasses.replace(after, blur=_wide(after.blur, before.blur.shape[1]))
    parts = {}
    for field in dataclasses.fields(Degraded):
        parts[field.name] = getattr(before, field.name).clone()
        parts[field.name][hit] = getattr(after, field.name)
    return Degraded(**parts)


def _wide(kernels: Kernels, side: int) -> Kernels:
    """`kernels` padded with zeros to a side of at least `side`, which is odd."""
    return F.pad(kernels, (max(0, side - kernels.shape[1]) // 2,) * 4)
