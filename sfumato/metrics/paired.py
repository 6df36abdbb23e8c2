"""Two classifiers on the same images: the difference of their accuracies with its interval, and McNemar's test.

The classifiers of a pair differ in one thing, such as additional training images, and have the training split, the seed and the test images
in common. Their difference varies from split to split and from image to image, and the interval covers both.
"""

import math
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.metrics.interval import LEVEL, student_t

_EXACT = 1000
"""Pairs of different answers up to which McNemar's test is the exact binomial one."""


class Difference(NamedTuple):
    """A mean paired difference, in the unit of the differences."""

    mean: float
    low: float
    high: float


class McNemar(NamedTuple):
    """The answers in which two classifiers differ, and the probability of so uneven numbers if both are equally good."""

    lost: int
    """Answers that only the first classifier had right."""
    won: int
    """Answers that only the second classifier had right."""
    p: float


def paired_difference(differences: Float[Tensor, "_splits _images"], *, level: float = LEVEL) -> Difference:
    """The mean of `differences`, a row for each split and a column for each test image, with its t interval.

    Splits and test images are crossed random effects. The squared standard error is that over splits (of the means of rows) plus that over
    images (of the means of columns) less that of the remainder, which is in both; it is at least the larger of the two. Its degrees of
    freedom are those of Satterthwaite (1946), at least one less than there are splits. Raises SettingError for fewer than two splits or
    two images.
    """
    splits, images = differences.shape
    if splits < 2 or images < 2:
        raise SettingError(f"differences are of {splits} splits and {images} images; an interval needs at least 2 of each")
    values = differences.double()
    rows, columns, mean = values.mean(dim=1), values.mean(dim=0), values.mean().item()
    remainder = values - rows[:, None] - columns + mean
    freedoms = (splits - 1, images - 1, (splits - 1) * (images - 1))
    over_splits, over_images = rows.var().item() / splits, columns.var().item() / images
    of_both = remainder.square().sum().item() / freedoms[2] / values.numel()
    variance = max(over_splits, over_images, over_splits + over_images - of_both)
    if not variance:
        return Difference(mean, mean, mean)
    parts = zip((over_splits, over_images, of_both), freedoms, strict=True)
    freedom = max(splits - 1, variance**2 / math.fsum(part**2 / each for part, each in parts))
    reach = student_t(level, freedom) * math.sqrt(variance)
    return Difference(mean, mean - reach, mean + reach)


def mcnemar(first: Bool[Tensor, " n"], second: Bool[Tensor, " n"]) -> McNemar:
    """McNemar's test (1947) of the right answers of two classifiers to the same questions, two-sided.

    Exact up to 1,000 answers that differ, above that by the normal distribution with a continuity correction.

    >>> import torch
    >>> mcnemar(torch.tensor([True, False, False, False]), torch.tensor([True, True, True, True]))
    McNemar(lost=0, won=3, p=0.25)
    """
    lost, won = int((first & ~second).sum()), int((second & ~first).sum())
    count, fewer = lost + won, min(lost, won)
    if not count:
        return McNemar(lost, won, 1.0)
    if count <= _EXACT:
        tail = sum(math.comb(count, k) for k in range(fewer + 1))
        return McNemar(lost, won, min(1.0, 2 * tail / 2**count))
    deviation = max(0.0, abs(won - lost) - 1) / math.sqrt(count)
    return McNemar(lost, won, math.erfc(deviation / math.sqrt(2)))
