"""Intervals: against scipy where it knows the answer, and against repeated draws where it does not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.base import Protocol
from sfumato.metrics.interval import average, bootstrap, deal, jackknife, student_t, wilson


@pytest.mark.parametrize("freedom", [5, 9, 19, 100])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_students_t_is_scipys(freedom, level):
    from scipy import stats

    assert student_t(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=2e-3)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_is_scipys(successes, trials):
    from scipy import stats

    successes = min(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    low, high = wilson(successes, trials)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1


def test_wilson_knows_nothing_without_trials_and_refuses_nonsense():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(SettingError, match="successes = 3"):
        wilson(3, 2)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    """Ten groups of one: the delete-one jackknife of a mean is the textbook's standard error."""
    values = torch.randn(10, generator=seeded_generator(0), dtype=torch.float64)
    deletions = [((values.sum() - v) / 9).item() for v in values]
    low, high = jackknife(values.mean().item(), deletions)
    reach = student_t(0.95, 9) * values.std().item() / math.sqrt(10)
    assert high - low == pytest.approx(2 * reach)
    assert (high + low) / 2 == pytest.approx(values.mean().item())


def test_the_jackknife_stays_within_what_is_possible():
    assert jackknife(0.9, [0.5, 1.0, 0.9], within=(0, 1))[1] == 1
    assert jackknife(0.9, [0.9, 0.9]) == (0.9, 0.9)
    with pytest.raises(SettingError, match="at least 2"):
        jackknife(0.9, [0.9])


def test_the_bootstrap_of_a_mean_is_near_its_normal_interval():
    values = torch.randn(400, generator=seeded_generator(1)) + 3
    low, high = bootstrap(values, rng=seeded_generator(2))
    reach = 1.96 * values.std().item() / 20
    assert low == pytest.approx(values.mean().item() - reach, abs=0.015)
    assert high == pytest.approx(values.mean().item() + reach, abs=0.015)


def test_the_bootstrap_of_equal_or_infinite_values():
    assert bootstrap(torch.full((5,), 2.0), rng=seeded_generator(0)) == (2.0, 2.0)
    assert bootstrap(torch.full((5,), math.inf), rng=seeded_generator(0)) == (math.inf, math.inf)
    with pytest.raises(SettingError, match="empty"):
        bootstrap(torch.empty(0), rng=seeded_generator(0))


def test_dealing_gives_every_vector_to_one_part_at_random():
    vectors = torch.arange(23.0)[:, None]
    parts = deal(vectors, rng=seeded_generator(0), groups=10)
    assert sorted(torch.cat(parts).flatten().tolist()) == list(range(23))
    assert {len(part) for part in parts} == {2, 3}
    assert torch.cat(parts).flatten().tolist() != list(range(23))


def test_an_average_is_a_measurement():
    measurement = average(
        "psnr", torch.tensor([30.0, 32.0]), unit="dB", higher_is_better=True, protocol=Protocol(), rng=seeded_generator(0)
    )
    assert measurement.value == 31.0
    assert measurement.interval == (30.0, 32.0)
    assert "bootstrap" in measurement.protocol.interval
