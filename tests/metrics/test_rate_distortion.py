"""Differences of rates: exact for curves whose difference is known, and the same whatever the order of points."""

import math

import pytest

from sfumato.core.errors import DataError
from sfumato.metrics.rate_distortion import Curve, RatePoint, bd_rate, quality_at

ANCHOR = [RatePoint(0.1 * 1.5**i, 26 + 6 * math.log1p(i)) for i in range(8)]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.4])
@pytest.mark.parametrize("rates", [None, (0.15, 0.5)])
def test_a_constant_factor_is_found(factor, rates):
    scaled = [RatePoint(factor * rate, quality) for rate, quality in ANCHOR]
    assert bd_rate(scaled[::-1], ANCHOR, rates=rates) == pytest.approx(100 * (factor - 1), abs=1e-6)


def test_the_range_of_rates_decides_where_curves_cross():
    other = [RatePoint(rate * (0.8 if i < 4 else 1.3), quality) for i, (rate, quality) in enumerate(ANCHOR)]
    assert bd_rate(other, ANCHOR, rates=(0.1, 0.2)) < 0 < bd_rate(other, ANCHOR, rates=(0.8, 1.7))


def test_a_curve_rises_between_rising_points():
    curve = Curve([(0, 0), (1, 0.1), (2, 5), (3, 5.1), (4, 9)])
    heights = [curve(i / 50) for i in range(201)]
    assert heights == sorted(heights)
    assert [curve(x) for x in (0, 1, 2, 3, 4)] == pytest.approx([0, 0.1, 5, 5.1, 9])


def test_quality_at_a_rate():
    assert quality_at(ANCHOR, ANCHOR[3].rate) == pytest.approx(ANCHOR[3].quality)
    assert quality_at(ANCHOR, 0.01) is None


@pytest.mark.parametrize("points", [ANCHOR[:3], [RatePoint(0.1 + i, 30 - i) for i in range(6)]])
def test_too_few_rising_points_are_refused(points):
    with pytest.raises(DataError, match="too short"):
        bd_rate(points, ANCHOR)


def test_no_quality_in_common_is_refused():
    with pytest.raises(DataError, match="no quality in common"):
        bd_rate([RatePoint(rate, quality + 100) for rate, quality in ANCHOR], ANCHOR)
