"""Kernel distance: torchmetrics, the double sum written out, and no bias."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics import kernel
from sfumato.metrics.interval import jackknife
from sfumato.metrics.kernel import discrepancy, kid, kid_deletions


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded_generator(seed), dtype=torch.float64)


def written_out(real, generated):
    """The unbiased estimate, a pair at a time."""
    d = real.shape[1]

    def k(x, y):
        return ((x @ y).item() / d + 1) ** 3

    n, m = len(real), len(generated)
    among_real = sum(k(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    among_generated = sum(k(generated[i], generated[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return among_real + among_generated - 2 * sum(k(x, y) for x in real for y in generated) / (n * m)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 12), st.integers(1, 6))
def test_it_is_the_double_sum(seed, n, m, d):
    real, generated = normal(n, d, seed=seed), normal(m, d, seed=seed + 1) + 0.3
    assert discrepancy(real, generated) == pytest.approx(written_out(real, generated), rel=1e-9, abs=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_it_is_torchmetrics_value():
    from torchmetrics.image.kid import KernelInceptionDistance

    real, generated = normal(50, 3, 2, 2).float(), normal(50, 3, 2, 2, seed=1).float() * 1.2
    metric = KernelInceptionDistance(feature=nn.Flatten(), subsets=3, subset_size=50)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    theirs, _ = metric.compute()
    ours, spread = kid(real.flatten(1), generated.flatten(1), subsets=3, subset_size=50, rng=seeded_generator(0))
    assert ours == pytest.approx(theirs.item(), rel=1e-4)
    assert spread == pytest.approx(0, abs=1e-12)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    real, generated = normal(30, 4), normal(20, 4, seed=1)
    expected = discrepancy(real, generated)
    for block in (1, 50, 10**9):
        monkeypatch.setattr(kernel, "BLOCK", block)
        assert discrepancy(real, generated) == pytest.approx(expected, rel=1e-9)


def test_sets_from_one_source_are_as_often_below_zero_as_above():
    values = torch.tensor([discrepancy(normal(40, 8, seed=i), normal(40, 8, seed=1000 + i)) for i in range(200)])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(200)
    assert 0.25 < (values > 0).double().mean() < 0.75


def test_it_grows_with_the_distance_and_does_not_with_the_number_of_images():
    near, far = (
        kid(normal(200, 4), normal(200, 4, seed=1) + shift, subsets=20, subset_size=50, rng=seeded_generator(0))[0] for shift in (0.3, 1)
    )
    assert 0 < near < far
    many = kid(normal(2000, 4), normal(2000, 4, seed=1) + 1, subsets=20, subset_size=1000, rng=seeded_generator(0))[0]
    assert many == pytest.approx(far, rel=0.2)


def test_the_same_generator_gives_the_same_subsets():
    sets = normal(60, 4), normal(60, 4, seed=1)
    first, again, other = (kid(*sets, subsets=5, subset_size=20, rng=seeded_generator(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert first[1] > 0
    assert kid(*sets, subsets=1, subset_size=20, rng=seeded_generator(0))[1] == 0


@pytest.mark.parametrize(("subsets", "size"), [(0, 10), (5, 1), (5, 31)])
def test_subsets_that_cannot_be_are_refused(subsets, size):
    with pytest.raises(SettingError, match="subset_size"):
        kid(normal(30, 2), normal(40, 2), subsets=subsets, subset_size=size, rng=seeded_generator(0))


def test_nan_is_refused():
    with pytest.raises(DataError, match="NaN"):
        discrepancy(normal(5, 2), torch.full((5, 2), math.nan))


def test_leaving_out_a_part_is_measuring_the_rest():
    real, generated = normal(30, 4), normal(27, 4, seed=1)
    deletions = kid_deletions(real, generated, rng=seeded_generator(5), groups=4)
    order = torch.randperm(27, generator=seeded_generator(5))
    for i, value in enumerate(deletions):
        rest = torch.cat([part for j, part in enumerate(generated[order].tensor_split(4)) if j != i])
        assert value == pytest.approx(discrepancy(real, rest), rel=1e-9)


def test_the_interval_is_as_wide_as_repeated_sampling_says():
    real, draws = normal(200, 6), [normal(200, 6, seed=100 + i) * 1.2 + 0.2 for i in range(120)]
    scatter = torch.tensor([discrepancy(real, draw) for draw in draws]).std().item()
    reaches = []
    for i, draw in enumerate(draws[:40]):
        low, high = jackknife(discrepancy(real, draw), kid_deletions(real, draw, rng=seeded_generator(i)))
        reaches.append((high - low) / 2)
    assert sum(reaches) / len(reaches) == pytest.approx(2.26 * scatter, rel=0.25)
