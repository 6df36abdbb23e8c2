"""95 % confidence intervals, each for one kind of variation.

bootstrap   a mean over images         other images of the same kind
wilson      a share of images          other images of the same kind
jackknife   any function of a set      other images from the same generator, the same real ones

A Fréchet distance has no bootstrap interval: drawing images with replacement repeats some, which reduces the spread of the set and
moves the distance by about as much as half the number of images would. The jackknife leaves out one tenth at a time and repeats no
image. The shift from the smaller number is the same in all ten, so it cancels in their spread.
"""

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.tensors import PerImage
from sfumato.metrics.base import Measurement, Protocol, double

LEVEL = 0.95
"""The confidence level of all intervals."""
GROUPS = 10
"""Parts of a set for the jackknife."""


def deal(vectors: Float[Tensor, "_n _d"], *, rng: torch.Generator, groups: int = GROUPS) -> list[Float[Tensor, "_m _d"]]:
    """`vectors` dealt at random into `groups` parts, whose sizes differ by at most 1."""
    order = torch.randperm(len(vectors), generator=rng).to(vectors.device)
    return list(vectors[order].tensor_split(groups))


def jackknife(
    value: float, deletions: Sequence[float], *, within: tuple[float, float] = (-math.inf, math.inf), level: float = LEVEL
) -> tuple[float, float]:
    """Interval around `value` from `deletions`, the values without each part in turn (delete-a-group jackknife), cut to `within`.

    The standard error is sqrt((g - 1) / g * sum of squared deviations) over g parts, with g - 1 degrees of freedom. The interval covers
    scatter, not bias: a bias that depends on the number of images stays in `value`. Raises SettingError for fewer than two parts.
    """
    groups = len(deletions)
    if groups < 2:
        raise SettingError(f"deletions holds {groups} values; an interval needs at least 2")
    mean = math.fsum(deletions) / groups
    error = math.sqrt((groups - 1) / groups * math.fsum((d - mean) ** 2 for d in deletions))
    reach = student_t(level, groups - 1) * error
    return max(within[0], value - reach), min(within[1], value + reach)


def bootstrap(values: PerImage, *, rng: torch.Generator, resamples: int = 2000, level: float = LEVEL) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (Efron 1979). Raises SettingError if there are no values."""
    count = len(values)
    if not count:
        raise SettingError("values is empty; an interval needs at least one image")
    values = double(values).cpu()
    means = torch.stack([values[torch.randint(count, (count,), generator=rng)].mean() for _ in range(resamples)]).sort().values
    tail = (1 - level) / 2
    return means[math.floor(tail * (resamples - 1))].item(), means[math.ceil((1 - tail) * (resamples - 1))].item()


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval (1927) of a proportion, valid for 0 % and 100 % too; [0, 1] without trials.

    Raises SettingError for `successes` outside [0, `trials`].

    >>> [round(end, 3) for end in wilson(10, 10)]
    [0.722, 1.0]
    """
    if not 0 <= successes <= trials:
        raise SettingError(f"successes = {successes} is outside [0, {trials}], the number of trials")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def student_t(level: float, freedom: float) -> float:
    """The two-sided quantile of Student's t: the standard errors to each side that hold `level`, for `freedom` degrees of freedom.

    Abramowitz & Stegun 26.7.5, an expansion around the normal distribution; exact to 0.1 % from 5 degrees of freedom.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    orders = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(order / freedom**power for power, order in enumerate(orders, 1))


def average(
    name: str, values: PerImage, *, unit: str = "", higher_is_better: bool, protocol: Protocol, rng: torch.Generator
) -> Measurement:
    """The measurement `name`: the mean of one value per image, such as a PSNR, with its bootstrap interval.

    `rng` draws the resamples. Raises SettingError if there are no values.
    """
    method = "95 %, other images of the same kind, bootstrap"
    return Measurement(
        name=name,
        value=double(values).cpu().mean().item(),
        interval=bootstrap(values, rng=rng),
        unit=unit,
        higher_is_better=higher_is_better,
        protocol=dataclasses.replace(protocol, interval=method),
    )
