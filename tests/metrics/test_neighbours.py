"""Precision, recall, density, coverage: definitions written out, shapes whose answer is known, bounded memory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics import neighbours
from sfumato.metrics.interval import jackknife
from sfumato.metrics.neighbours import density_coverage, density_coverage_deletions, nearest, precision_recall


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded_generator(seed), dtype=torch.float64)


def cube(count, corner, seed=0):
    return torch.rand(count, 3, generator=seeded_generator(seed), dtype=torch.float64) + corner


def written_out(real, generated, k):
    """All four, a pair at a time."""

    def reach(vectors):
        return [sorted(math.dist(a, b) for j, b in enumerate(vectors) if j != i)[k - 1] for i, a in enumerate(vectors)]

    real, generated = real.tolist(), generated.tolist()
    r_real, r_generated = reach(real), reach(generated)
    hits = [[math.dist(g, x) <= r for x, r in zip(real, r_real, strict=True)] for g in generated]
    precision = sum(any(row) for row in hits) / len(generated)
    recall = sum(any(math.dist(x, g) <= r for g, r in zip(generated, r_generated, strict=True)) for x in real) / len(real)
    density = sum(map(sum, hits)) / (k * len(generated))
    return precision, recall, density, sum(any(column) for column in zip(*hits, strict=True)) / len(real)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(4, 25), st.integers(4, 25), st.integers(1, 4), st.integers(1, 3), st.floats(0, 2))
def test_they_are_their_definitions(seed, n, m, d, k, shift):
    real, generated = normal(n, d, seed=seed), normal(m, d, seed=seed + 1) + shift
    found = (*precision_recall(real, generated, k=k), *density_coverage(real, generated, k=k))
    assert found == pytest.approx(written_out(real, generated, k))


def test_identical_sets_are_all_there():
    real = normal(50, 4)
    assert precision_recall(real, real.clone()) == (1, 1)
    density, coverage = density_coverage(real, real.clone(), k=5)
    assert density == pytest.approx(6 / 5)
    assert coverage == 1


def test_cubes_side_by_side_share_nothing_and_overlapping_ones_share_half():
    real = cube(1500, torch.zeros(3))
    assert precision_recall(real, cube(1500, torch.tensor([3.0, 0, 0]), seed=1)) == (0, 0)
    assert density_coverage(real, cube(1500, torch.tensor([3.0, 0, 0]), seed=1)) == (0, 0)
    precision, recall = precision_recall(real, cube(1500, torch.tensor([0.5, 0, 0]), seed=1))
    density, coverage = density_coverage(real, cube(1500, torch.tensor([0.5, 0, 0]), seed=1))
    assert precision == pytest.approx(0.55, abs=0.07)
    assert recall == pytest.approx(0.55, abs=0.07)
    assert density == pytest.approx(0.5, abs=0.07)
    assert coverage == pytest.approx(0.52, abs=0.07)


def test_one_good_image_over_and_over_is_precise_and_nothing_else():
    real = normal(300, 4)
    generated = real[:1] + 1e-6 * normal(300, 4, seed=1)
    assert precision_recall(real, generated) == (1, pytest.approx(0, abs=0.01))
    assert density_coverage(real, generated)[1] < 0.1


def test_an_outlier_among_the_real_does_not_move_density():
    """What density was made for: one far real vector has a huge ball, and precision takes all of it for real."""
    real = torch.cat([normal(100, 2), torch.tensor([[40.0, 0.0]], dtype=torch.float64)])
    generated = normal(100, 2, seed=1) + torch.tensor([20.0, 0.0], dtype=torch.float64)
    assert precision_recall(real, generated)[0] > 0.9
    assert density_coverage(real, generated)[0] < 0.25


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_moving_both_sets_changes_nothing(offset):
    real, generated = normal(80, 5), normal(80, 5, seed=1) + 0.5
    assert precision_recall(real + offset, generated + offset) == precision_recall(real, generated)
    assert density_coverage(real + offset, generated + offset) == density_coverage(real, generated)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    real, generated = normal(40, 3), normal(30, 3, seed=1) + 0.5
    expected = precision_recall(real, generated), density_coverage(real, generated)
    for block in (1, 100, 10**9):
        monkeypatch.setattr(neighbours, "BLOCK", block)
        assert (precision_recall(real, generated), density_coverage(real, generated)) == expected


@pytest.mark.parametrize("k", [0, 10])
def test_neighbours_that_are_not_there_are_refused(k):
    with pytest.raises(SettingError, match=f"k = {k}"):
        precision_recall(normal(10, 2), normal(20, 2), k=k)
    with pytest.raises(SettingError, match=f"k = {k}"):
        density_coverage(normal(10, 2), normal(20, 2), k=k)


def test_nan_is_refused():
    with pytest.raises(DataError, match="NaN"):
        precision_recall(normal(10, 2), torch.full((10, 2), math.nan))


def test_leaving_out_a_part_is_measuring_the_rest():
    real, generated = normal(30, 3), normal(27, 3, seed=1) + 0.7
    densities, coverages = density_coverage_deletions(real, generated, rng=seeded_generator(5), groups=4)
    order = torch.randperm(27, generator=seeded_generator(5))
    for i in range(4):
        rest = torch.cat([part for j, part in enumerate(generated[order].tensor_split(4)) if j != i])
        assert (densities[i], coverages[i]) == pytest.approx(density_coverage(real, rest))


def test_the_intervals_are_as_wide_as_repeated_sampling_says():
    real, draws = normal(200, 8), [normal(200, 8, seed=100 + i) * 1.2 for i in range(100)]
    scatter = torch.tensor([density_coverage(real, draw) for draw in draws]).std(dim=0)
    reaches = []
    for i, draw in enumerate(draws[:30]):
        both = zip(density_coverage(real, draw), density_coverage_deletions(real, draw, rng=seeded_generator(i)), strict=True)
        reaches.append([(high - low) / 2 for low, high in (jackknife(value, deletions) for value, deletions in both)])
    found = torch.tensor(reaches).mean(dim=0) / (2.26 * scatter)
    assert 0.7 < found[0] < 1.4
    assert 0.7 < found[1] < 2


def test_the_nearest_is_found_whatever_the_blocks(monkeypatch):
    points, centres = normal(30, 4), normal(50, 4, seed=1)
    apart = torch.cdist(points, centres)
    for block in (neighbours.BLOCK, 70):
        monkeypatch.setattr(neighbours, "BLOCK", block)
        distance, index = nearest(points, centres)
        torch.testing.assert_close(distance, apart.min(1).values)
        assert torch.equal(index, apart.argmin(1))
        distance, index = nearest(points, points, exclude_self=True)
        own = torch.cdist(points, points).fill_diagonal_(math.inf)
        torch.testing.assert_close(distance, own.min(1).values)
        assert torch.equal(index, own.argmin(1))
