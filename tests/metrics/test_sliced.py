"""Sliced transport: one dimension by hand, a shift in closed form, sets of unequal size."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.interval import jackknife
from sfumato.metrics.sliced import mind, mind_deletions


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded_generator(seed), dtype=torch.float64)


def test_one_dimension_by_hand():
    """Sorted, 0 1 5 meets 1 3 3: squares 1, 4, 4, mean 3; times 3 d."""
    real, generated = torch.tensor([[5.0], [0.0], [1.0]]), torch.tensor([[3.0], [1.0], [3.0]])
    assert mind(real, generated, rng=seeded_generator(0), directions=7) == pytest.approx(9)


def test_a_shift_costs_three_times_its_squared_length():
    real = normal(50, 8)
    shift = torch.full((8,), 0.5, dtype=torch.float64)
    assert mind(real, real + shift, rng=seeded_generator(0), directions=4000) == pytest.approx(3 * 2.0, rel=0.05)


def test_order_does_not_matter_and_identical_sets_are_at_zero():
    real = normal(50, 8)
    assert mind(real, real.flip(0), rng=seeded_generator(0)) == pytest.approx(0, abs=1e-20)
    assert mind(real + 3, real.flip(0) * 2, rng=seeded_generator(0)) == pytest.approx(
        mind(real.flip(0) * 2, real + 3, rng=seeded_generator(0))
    )


def test_gaussians_of_unequal_spread_and_unequal_counts():
    """Along every line the best transport of N(0, 1) to N(0, 4) costs 1, so 3 d in all; more images do not change it."""
    for real, generated in [(4000, 4000), (4000, 3000), (3000, 4000)]:
        cost = mind(normal(real, 4), 2 * normal(generated, 4, seed=1), rng=seeded_generator(0), directions=200)
        assert cost == pytest.approx(12, rel=0.08)


def test_quantiles_of_unequal_sets_by_hand():
    """Of 0 1 2 3, two quantiles are 0.5 and 2.5; of 0.5 2.5, four are 0.5 1 2 2.5."""
    four, two = torch.tensor([[3.0], [1.0], [0.0], [2.0]]), torch.tensor([[2.5], [0.5]])
    assert mind(four, two, rng=seeded_generator(0), directions=3) == pytest.approx(0, abs=1e-20)
    assert mind(two, four, rng=seeded_generator(0), directions=3) == pytest.approx(3 * (0.25 + 0.25) / 4)


def test_sets_of_any_two_sizes_can_be_compared():
    ramp = torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    assert mind(ramp, ramp[::7], rng=seeded_generator(0), directions=3) == pytest.approx(0, abs=1e-4)
    assert mind(ramp[::7], ramp, rng=seeded_generator(0), directions=3) == pytest.approx(0, abs=1e-4)


def test_leaving_out_a_part_is_measuring_the_rest():
    real, generated = normal(30, 4), normal(28, 4, seed=1)
    deletions = mind_deletions(real, generated, rng=seeded_generator(5), directions=100, groups=4)
    rng = seeded_generator(5)
    group = torch.randperm(28, generator=rng) % 4
    state = rng.get_state()
    for i, value in enumerate(deletions):
        rng.set_state(state)
        assert value == pytest.approx(mind(real, generated[group != i], rng=rng, directions=100), rel=1e-9)


def test_the_interval_is_as_wide_as_repeated_sampling_says():
    real, draws = normal(200, 6), [normal(200, 6, seed=100 + i) * 1.3 + 0.2 for i in range(100)]
    values = [mind(real, draw, rng=seeded_generator(0), directions=50) for draw in draws]
    reaches = []
    for value, draw in zip(values[:30], draws, strict=False):
        low, high = jackknife(value, mind_deletions(real, draw, rng=seeded_generator(1), directions=50))
        reaches.append((high - low) / 2)
    assert sum(reaches) / len(reaches) == pytest.approx(2.26 * torch.tensor(values).std().item(), rel=0.25)


def test_no_directions_are_refused():
    with pytest.raises(SettingError, match="directions = 0"):
        mind(normal(5, 2), normal(5, 2), rng=seeded_generator(0), directions=0)
