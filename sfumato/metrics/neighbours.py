"""Precision, recall, density and coverage: do generated images look real, and do they cover all kinds of real images?

Each set is described by balls: one around each of its vectors, whose radius is the distance to the k-th nearest neighbour in the set.

precision   share of generated images inside a real ball        Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991
recall      share of real images inside a generated ball        (same)
density     real balls around a generated image, over k         Naeem et al. 2020, https://arxiv.org/abs/2002.09797
coverage    share of real balls with a generated image inside   (same)

All four depend on the number of images: give as many real as generated images, and compare equal numbers only.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.tensors import PerImage, Vectors
from sfumato.metrics.base import Generated, exact
from sfumato.metrics.interval import GROUPS, deal

BLOCK = 1 << 22
"""Distances in memory at the same time: 32 MB."""


def precision_recall(real: Vectors, generated: Generated, *, k: int = 3) -> tuple[float, float]:
    """Precision and recall, both in [0, 1]; higher is better.

    Raises SettingError unless 1 <= `k` < the number of vectors in each set, DataError for NaN.
    """
    real, generated = exact(real), exact(generated)
    precise, _ = inside(generated, real, radii(real, k=k))
    recalled, _ = inside(real, generated, radii(generated, k=k))
    return _share(precise > 0), _share(recalled > 0)


def density_coverage(real: Vectors, generated: Generated, *, k: int = 5) -> tuple[float, float]:
    """Density, 0 or more and about 1 for two sets from one source, and coverage in [0, 1]; higher is better.

    Raises SettingError unless 1 <= `k` < the number of real vectors, DataError for NaN.
    """
    real, generated = exact(real), exact(generated, least=1)
    around, holding = inside(generated, real, radii(real, k=k))
    return around.double().mean().item() / k, _share(holding > 0)


def density_coverage_deletions(
    real: Vectors, generated: Generated, *, rng: torch.Generator, k: int = 5, groups: int = GROUPS
) -> tuple[list[float], list[float]]:
    """Densities and coverages without one of `groups` random parts of the generated images, each in turn, for `interval.jackknife`."""
    real = exact(real)
    parts = deal(exact(generated, least=2 * groups), rng=rng, groups=groups)
    reach = radii(real, k=k)
    held = torch.stack([inside(part, real, reach)[1] for part in parts])
    rest = held.sum(dim=0) - held
    remaining = [len(generated) - len(part) for part in parts]
    densities = [balls.sum().item() / (count * k) for balls, count in zip(rest, remaining, strict=True)]
    return densities, [_share(balls > 0) for balls in rest]


def radii(vectors: Vectors, *, k: int) -> PerImage:
    """Squared distance of each vector to its `k`-th nearest neighbour among the others. Raises SettingError unless 1 <= `k` < n."""
    if not 1 <= k < len(vectors):
        raise SettingError(f"k = {k} is outside [1, {len(vectors) - 1}], the number of neighbours among {len(vectors)} vectors")
    nearest = [_squared_distances(rows, vectors).topk(k + 1, largest=False).values[:, -1] for rows in vectors.split(_rows(vectors))]
    return torch.cat(nearest)


def nearest(points: Generated, centres: Vectors, *, exclude_self: bool = False) -> tuple[Float[Tensor, " m"], Int64[Tensor, " m"]]:
    """Distance of each point to its nearest centre, in float64, and the index of that centre (the first of equals).

    With `exclude_self`, points and centres are the same vectors, and no vector is its own neighbour. Raises DataError for NaN, without
    points, and without a centre that may be a neighbour.
    """
    points, centres = exact(points, least=1), exact(centres, least=2 if exclude_self else 1)
    distances, indices = [], []
    for start in range(0, len(points), _rows(centres)):
        squared = _squared_distances(points[start : start + _rows(centres)], centres)
        if exclude_self:
            rows = torch.arange(len(squared), device=squared.device)
            squared[rows, rows + start] = torch.inf
        least = squared.min(dim=1)
        distances.append(least.values.sqrt())
        indices.append(least.indices)
    return torch.cat(distances), torch.cat(indices)


def inside(points: Generated, centres: Vectors, squared_radii: PerImage) -> tuple[Int64[Tensor, " m"], Int64[Tensor, " n"]]:
    """For each point, the number of balls that hold it (rim included); for each ball, the number of points in it; in bounded memory."""
    around, holding = [], torch.zeros(len(centres), dtype=torch.int64, device=centres.device)
    for rows in points.split(_rows(centres)):
        hits = _squared_distances(rows, centres) <= squared_radii
        around.append(hits.sum(dim=1))
        holding += hits.sum(dim=0)
    return torch.cat(around), holding


def _rows(centres: Vectors) -> int:
    """Points whose distances to all `centres` fit into one block."""
    return max(1, BLOCK // len(centres))


def _squared_distances(first: Generated, second: Vectors) -> Float[Tensor, "m n"]:
    """Squared Euclidean distance of each vector in `first` (row) to each in `second` (column); rounding never makes it negative."""
    lengths = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)
    return torch.addmm(lengths, first, second.T, alpha=-2).clamp_(min=0)


def _share(hits: Tensor) -> float:
    """The share of elements that are set."""
    return hits.double().mean().item()
