"""Kernel distance (KID): squared maximum mean discrepancy under the kernel (x·y / d + 1)³, unbiased.

Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401. The expectation does not depend on the number of images, so the distance is the
most reliable one for small sets.
"""

import torch

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Vectors
from sfumato.metrics.base import Generated, exact
from sfumato.metrics.interval import GROUPS, deal

BLOCK = 1 << 22
"""Kernel values in memory at the same time: 32 MB."""


def kid(real: Vectors, generated: Generated, *, rng: torch.Generator, subsets: int = 100, subset_size: int = 1000) -> tuple[float, float]:
    """Mean and standard deviation of the squared discrepancy over random `subsets` of `subset_size` images of each set.

    Lower is better. For two sets from one source the mean is near 0, as often below as above. Papers often report it times 1000. The
    deviation is that between subsets, not the error of their mean. Raises SettingError if a set is smaller than a subset, DataError for
    NaN.
    """
    real, generated = exact(real), exact(generated)
    if not 2 <= subset_size <= min(len(real), len(generated)) or subsets < 1:
        raise SettingError(
            f"subsets = {subsets}, subset_size = {subset_size} do not fit {len(real)} real and {len(generated)} generated images; "
            f"give at least 1 subset, of 2 to {min(len(real), len(generated))} images"
        )
    values = [discrepancy(_subset(real, subset_size, rng), _subset(generated, subset_size, rng)) for _ in range(subsets)]
    spread, mean = torch.std_mean(torch.tensor(values, dtype=torch.float64), correction=0)
    return mean.item(), spread.item()


def discrepancy(real: Vectors, generated: Generated) -> float:
    """Unbiased squared maximum mean discrepancy of two whole sets, in bounded memory. Raises DataError for fewer than 2 vectors, or NaN."""
    real, generated = exact(real), exact(generated)
    return _within(real) + _within(generated) - 2 * _total(real, generated) / (len(real) * len(generated))


def kid_deletions(real: Vectors, generated: Generated, *, rng: torch.Generator, groups: int = GROUPS) -> list[float]:
    """`discrepancy` without one of `groups` random parts of the generated images, each in turn, for `interval.jackknife`.

    Every kernel value is computed once: without a part, a row and a column of sums are left out.
    """
    real = exact(real)
    parts = deal(exact(generated, least=2 * groups), rng=rng, groups=groups)
    inner = torch.tensor([[_total(a, b) for b in parts] for a in parts], dtype=torch.float64)
    inner -= torch.diag(torch.tensor([_own(part) for part in parts], dtype=torch.float64))
    cross = torch.tensor([_total(part, real) for part in parts], dtype=torch.float64)
    kept = 1 - torch.eye(groups, dtype=torch.float64)
    counts = kept @ torch.tensor([float(len(part)) for part in parts], dtype=torch.float64)
    among = (kept @ inner * kept).sum(dim=1) / (counts * (counts - 1))
    return (_within(real) + among - 2 * (kept @ cross) / (counts * len(real))).tolist()


def _subset(vectors: Vectors, count: int, rng: torch.Generator) -> Generated:
    """A random choice of `count` vectors."""
    return vectors[torch.randperm(len(vectors), generator=rng)[:count].to(vectors.device)]


def _within(vectors: Vectors) -> float:
    """Mean kernel value over pairs of different vectors."""
    return (_total(vectors, vectors) - _own(vectors)) / (len(vectors) * (len(vectors) - 1))


def _own(vectors: Vectors) -> float:
    """Sum of the kernel of each vector with itself."""
    return (vectors.square().sum(dim=1) / vectors.shape[1] + 1).pow(3).sum().item()


def _total(first: Vectors, second: Generated) -> float:
    """Sum of the kernel over all pairs, a block of rows at a time."""
    one = first.new_ones(())
    rows = max(1, BLOCK // len(second))
    return sum(torch.addmm(one, block, second.T, alpha=1 / first.shape[1]).pow_(3).sum().item() for block in first.split(rows))
