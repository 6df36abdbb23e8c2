"""Sliced Wasserstein distance of feature vectors, the Monge Inception Distance (Berthet et al. 2026, https://arxiv.org/abs/2605.06797).

Along one direction the optimal transport between two sets pairs their values in sorted order. No covariance is estimated, so a few
thousand images are enough in any dimension.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Vectors
from sfumato.metrics.base import Generated, exact
from sfumato.metrics.interval import GROUPS

AT_ONCE = 64
"""Directions in one sort."""


def mind(real: Vectors, generated: Generated, *, rng: torch.Generator, directions: int = 1000) -> float:
    """3 d times the mean squared transport distance along random `directions`, in d dimensions; 0 or more, lower is better.

    A shift alone gives about three times its squared length. The distance falls with the number of images: compare equal numbers only.
    If the real set has another size, its quantiles are interpolated. Raises SettingError for `directions` below 1, DataError for fewer
    than two vectors in a set, and for NaN.
    """
    generated = exact(generated)
    every = torch.ones(1, len(generated), dtype=torch.bool, device=generated.device)
    return _costs(exact(real), generated, every, rng, directions)[0]


def mind_deletions(
    real: Vectors, generated: Generated, *, rng: torch.Generator, directions: int = 1000, groups: int = GROUPS
) -> list[float]:
    """`mind` without one of `groups` random parts of the generated images, each in turn, for `interval.jackknife`; sorts once."""
    generated = exact(generated, least=2 * groups)
    group = torch.randperm(len(generated), generator=rng) % groups
    kept = group != torch.arange(groups)[:, None]
    return _costs(exact(real), generated, kept.to(generated.device), rng, directions)


def _costs(real: Vectors, generated: Generated, selected: Bool[Tensor, "g m"], rng: torch.Generator, directions: int) -> list[float]:
    """The distance from `real` to each selection of the generated images; a row of `selected` is one selection."""
    if directions < 1:
        raise SettingError(f"directions = {directions} must be at least 1")
    dimension = real.shape[1]
    axes = F.normalize(torch.randn(directions, dimension, generator=rng, dtype=torch.float64)).to(real.device)
    total = [0.0] * len(selected)
    for part in axes.split(AT_ONCE):
        target = (part @ real.T).sort(dim=1).values
        projected, order = (part @ generated.T).sort(dim=1)
        for i, chosen in enumerate(selected):
            kept = projected[chosen[order]].view(len(part), -1)
            total[i] += (kept - _quantiles(target, kept.shape[1])).square().mean(dim=1).sum().item()
    return [3 * dimension / directions * cost for cost in total]


def _quantiles(ordered: Float[Tensor, "s n"], count: int) -> Float[Tensor, "s _count"]:
    """`count` evenly spaced quantiles of each sorted row; the row itself if `count` is its length."""
    n = ordered.shape[1]
    place = ((torch.arange(count, dtype=torch.float64, device=ordered.device) + 0.5) * n / count - 0.5).clamp(0, n - 1)
    below = place.floor().long()
    return ordered[:, below].lerp(ordered[:, (below + 1).clamp(max=n - 1)], place - below)
