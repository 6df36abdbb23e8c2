"""Rate against distortion: the mean difference between the rates of two codecs at equal quality.

Bjøntegaard 2001 (VCEG-M33), with the piecewise cubic of Fritsch & Carlson 1980 in the place of one cubic, as VCEG-AE07 and today's
reference software have it: it does not swing between points.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from sfumato.core.errors import DataError

LEAST_POINTS = 4
"""Points that a curve needs."""
_STEPS = 400


class RatePoint(NamedTuple):
    """One setting of a codec, with means over pictures."""

    rate: float
    """Bits per pixel."""
    quality: float
    """PSNR in dB, or another figure that rises with quality."""


class Curve:
    """A rising curve through points: monotone wherever the points are, without swings between them."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        """Takes (x, y) in any order; of points that do not rise with x, those behind are left out. Raises DataError for fewer than 4."""
        kept: list[tuple[float, float]] = []
        for x, y in sorted(points):
            if not kept or (x > kept[-1][0] and y > kept[-1][1]):
                kept.append((x, y))
        if len(kept) < LEAST_POINTS:
            raise DataError(f"a curve of {len(kept)} rising points is too short to be compared; measure at least {LEAST_POINTS} settings")
        self.x, self.y = (list(values) for values in zip(*kept, strict=True))
        self.slopes = _slopes(self.x, self.y)

    def __call__(self, x: float) -> float:
        """The height at `x`, which is within the points.

        >>> round(Curve([(0, 0), (1, 1), (2, 2), (3, 3)])(1.25), 6)
        1.25
        """
        i = min(len(self.x) - 2, max(0, bisect_right(self.x, x) - 1))
        width = self.x[i + 1] - self.x[i]
        t = (x - self.x[i]) / width
        low, high = self.y[i], self.y[i + 1]
        a, b = self.slopes[i] * width, self.slopes[i + 1] * width
        return low + t * (a + t * (3 * (high - low) - 2 * a - b + t * (2 * (low - high) + a + b)))


def bd_rate(points: Sequence[RatePoint], anchor: Sequence[RatePoint], *, rates: tuple[float, float] | None = None) -> float:
    """The mean difference of the rate to that of `anchor` at equal quality, in per cent: below 0, `points` need fewer bits.

    The mean is over the qualities that both have, and with `rates` only over those that the anchor has between these two rates. Logarithms
    of rates are interpolated. Raises DataError if there is no such quality, or a curve has fewer than 4 points.

    >>> anchor = [RatePoint(0.1 * 2**i, 28.0 + 3 * i) for i in range(5)]
    >>> round(bd_rate([RatePoint(p.rate * 0.8, p.quality) for p in anchor], anchor), 6)
    -20.0
    """
    own, other = (Curve([(point.quality, math.log(point.rate)) for point in curve]) for curve in (points, anchor))
    low, high = max(own.x[0], other.x[0]), min(own.x[-1], other.x[-1])
    if rates is not None:
        quality = Curve([(math.log(point.rate), point.quality) for point in anchor])
        ends = [quality(min(quality.x[-1], max(quality.x[0], math.log(rate)))) for rate in rates]
        low, high = max(low, ends[0]), min(high, ends[1])
    if high <= low:
        raise DataError("the two codecs have no quality in common; measure settings nearer to one another")
    grid = [low + (high - low) * (i + 0.5) / _STEPS for i in range(_STEPS)]
    mean = math.fsum(own(x) - other(x) for x in grid) / _STEPS
    return 100 * math.expm1(mean)


def quality_at(points: Sequence[RatePoint], rate: float) -> float | None:
    """The quality at a rate, between points; None outside of them. Raises DataError for fewer than 4 points."""
    curve = Curve([(math.log(point.rate), point.quality) for point in points])
    return curve(math.log(rate)) if curve.x[0] <= math.log(rate) <= curve.x[-1] else None


def _slopes(x: list[float], y: list[float]) -> list[float]:
    """Slopes at the points: the weighted harmonic mean of those on both sides, and at the ends those of the first and last piece."""
    widths = [b - a for a, b in pairwise(x)]
    pieces = [(b - a) / width for (a, b), width in zip(pairwise(y), widths, strict=True)]
    inner = []
    for i in range(1, len(pieces)):
        first, second = 2 * widths[i] + widths[i - 1], widths[i] + 2 * widths[i - 1]
        inner.append((first + second) / (first / pieces[i - 1] + second / pieces[i]))
    return [pieces[0], *inner, pieces[-1]]
