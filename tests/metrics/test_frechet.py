"""Fréchet distance: closed forms, the textbook's square root of a matrix, torchmetrics, and what rounding must not do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.frechet import Moments, frechet, frechet_deletions, frechet_from_moments, frechet_infinity, frechet_parts
from sfumato.metrics.interval import jackknife

DOUBLE = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded_generator(seed), dtype=DOUBLE)


def rotation(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed=seed)).Q


def textbook(m1, s1, m2, s2):
    """The formula as written, with scipy's square root."""
    import scipy.linalg

    root = scipy.linalg.sqrtm((s1 @ s2).numpy()).real
    return ((m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * root.trace()).item()


def by_singular_values(a, b):
    """The same from the samples themselves, without a covariance."""
    x, y = ((v - v.mean(0)) / math.sqrt(len(v) - 1) for v in (a, b))
    overlap = torch.linalg.svdvals(x @ y.T).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * overlap).item()


def test_diagonal_gaussians_have_a_closed_form():
    m1, m2, v1, v2 = normal(12), normal(12, seed=1), normal(12, seed=2).square(), normal(12, seed=3).square()
    expected = (m1 - m2).square().sum() + (v1.sqrt() - v2.sqrt()).square().sum()
    assert frechet_from_moments(m1, v1.diag(), m2, v2.diag()) == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("rank", [12, 5, 0])
def test_covariances_that_commute_have_a_closed_form_singular_or_not(rank):
    turn, v1, v2 = rotation(12), normal(12, seed=2).square() + 0.1, normal(12, seed=3).square() + 0.1
    v1[rank:] = 0
    mean = torch.zeros(12, dtype=DOUBLE)
    s1, s2 = turn * v1 @ turn.T, turn * v2 @ turn.T
    expected = (v1.sqrt() - v2.sqrt()).square().sum().item()
    assert frechet_from_moments(mean, s1, mean, s2) == pytest.approx(expected, rel=1e-9)
    assert frechet_from_moments(mean, s2, mean, s1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 3, 40, 300])
def test_it_is_the_textbooks_value(d):
    a, b = normal(4 * d + 2, d) @ (normal(d, d, seed=1) + 30 * torch.eye(d)) + 1, normal(3 * d + 3, d, seed=2) @ rotation(d, seed=3)
    expected = textbook(a.mean(0), torch.cov(a.T).view(d, d), b.mean(0), torch.cov(b.T).view(d, d))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_from_moments(a.mean(0), torch.cov(a.T).view(d, d), b.mean(0), torch.cov(b.T).view(d, d)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize(("n", "m"), [(30, 20), (30, 200), (200, 20), (41, 41), (40, 41), (2, 2)])
def test_fewer_images_than_dimensions_lose_no_accuracy(n, m):
    spread = torch.arange(1, 41, dtype=DOUBLE) ** -1.0
    a, b = normal(n, 40) * spread @ rotation(40), normal(m, 40, seed=1) * spread @ rotation(40) * 1.1
    expected = by_singular_values(a, b)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-10)
    first, second = Moments.of(a), Moments.of(b)
    assert frechet_from_moments(first.mean, first.covariance, second.mean, second.covariance) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2])
def test_nearly_singular_covariances_of_nearly_equal_sets_keep_six_digits(noise):
    """Here rounding in the eigenvalues of a product of covariances costs a thousandth of the distance."""
    flat = normal(300, 40)
    flat[:, 20:] = 0
    a = flat @ rotation(40) + noise * normal(300, 40, seed=1)
    b = flat @ rotation(40) * 1.001 + noise * normal(300, 40, seed=2)
    first, second = Moments.of(a), Moments.of(b)
    moments = frechet_from_moments(first.mean, first.covariance, second.mean, second.covariance)
    assert moments == pytest.approx(by_singular_values(a, b), rel=1e-6)


def test_constant_and_repeated_features_are_no_trouble():
    a, b = normal(100, 6), normal(100, 6, seed=1)
    expected = frechet(a, b)
    constant = torch.ones(100, 1, dtype=DOUBLE)
    assert frechet(torch.cat([a, constant], 1), torch.cat([b, constant], 1)) == pytest.approx(expected, rel=1e-9)
    assert frechet(torch.cat([a, a], 1), torch.cat([b, b], 1)) == pytest.approx(2 * expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_it_is_torchmetrics_value_on_the_same_features():
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flat(nn.Module):
        num_features = 12

        def forward(self, images):
            return images.flatten(1)

    real, generated = torch.rand(60, 3, 2, 2, generator=seeded_generator(0)), torch.rand(50, 3, 2, 2, generator=seeded_generator(1)) ** 2
    metric = FrechetInceptionDistance(feature=Flat()).set_dtype(DOUBLE)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    assert frechet(real.flatten(1), generated.flatten(1)) == pytest.approx(metric.compute().item(), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 30), st.integers(1, 8), st.floats(-1000, 1000), st.floats(0.01, 100))
def test_it_is_symmetric_and_follows_shifts_and_scales(seed, n, m, d, shift, scale):
    a, b = normal(n, d, seed=seed), normal(m, d, seed=seed + 1) + 0.5
    distance = frechet(a, b)
    assert distance >= 0
    assert frechet(b, a) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert frechet(a + shift, b + shift) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert frechet(a @ rotation(d), b @ rotation(d)) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert frechet(a * scale, b * scale) == pytest.approx(distance * scale**2, rel=1e-6, abs=1e-9 * scale**2)


@pytest.mark.parametrize("count", [5, 100])
def test_identical_sets_are_at_distance_zero(count):
    a = normal(count, 10)
    assert frechet(a, a.clone()) == pytest.approx(0, abs=1e-12)


def test_the_parts_are_the_shift_and_the_spread():
    a = normal(500, 4)
    assert frechet_parts(a, a + 2) == pytest.approx((16, 0), abs=1e-9)
    shift, spread = frechet_parts(a, (a - a.mean(0)) * 3 + a.mean(0))
    assert shift == pytest.approx(0, abs=1e-12)
    assert spread == pytest.approx(4 * torch.cov(a.T).trace().item(), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 20), min_size=1, max_size=5), st.floats(-1e6, 1e6))
def test_moments_in_any_batches_are_those_of_the_whole(seed, sizes, offset):
    batches = [normal(size, 3, seed=seed + i) + offset for i, size in enumerate(sizes)] + [normal(2, 3, seed=seed - 1) + offset]
    whole, streamed, merged = torch.cat(batches), Moments(3), Moments(3)
    for batch in batches:
        streamed.update(batch)
        merged.merge(Moments.of(batch))
    for moments in (streamed, merged):
        assert moments.count == len(whole)
        torch.testing.assert_close(moments.mean, whole.mean(0), rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(moments.covariance, torch.cov(whole.T), rtol=1e-7, atol=1e-7)


def test_merging_leaves_the_other_as_it_was():
    first, second = Moments.of(normal(5, 2)), Moments.of(normal(7, 2, seed=1))
    before = second.covariance.clone()
    first.merge(second)
    first.update(normal(5, 2, seed=2))
    assert second.count == 7
    assert torch.equal(second.covariance, before)


def test_float32_features_far_from_zero_are_not_lost():
    a, b = (1000 + normal(400, 3)).float(), (1000 + normal(400, 3, seed=1)).float()
    assert frechet(a, b) == pytest.approx(frechet(a.double() - 1000, b.double() - 1000), rel=1e-9)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="too few"):
        frechet(normal(1, 3), normal(5, 3))
    with pytest.raises(DataError, match="NaN"):
        frechet(normal(5, 3), torch.full((5, 3), math.nan))
    with pytest.raises(DataError, match="no covariance"):
        _ = Moments.of(normal(1, 3)).covariance
    with pytest.raises(DataError, match="too few to extrapolate"):
        frechet_infinity(normal(50, 20), normal(50, 20), rng=seeded_generator(0))
    with pytest.raises(SettingError, match="sizes = 2"):
        frechet_infinity(normal(50, 2), normal(50, 2), rng=seeded_generator(0), sizes=2)


@pytest.mark.parametrize("d", [4, 35, 70])
def test_leaving_out_a_part_is_measuring_the_rest(d):
    real, generated = normal(60, d), normal(40, d, seed=1)
    deletions = frechet_deletions(real, generated, rng=seeded_generator(5), groups=4)
    order = torch.randperm(40, generator=seeded_generator(5))
    for i, distance in enumerate(deletions):
        rest = torch.cat([part for j, part in enumerate(generated[order].tensor_split(4)) if j != i])
        assert distance == pytest.approx(frechet(real, rest), rel=1e-9)


def test_the_interval_is_as_wide_as_repeated_sampling_says():
    real, repeats = normal(300, 6), 150
    draws = [normal(300, 6, seed=100 + i) * 1.2 + 0.2 for i in range(repeats)]
    scatter = torch.tensor([frechet(real, draw) for draw in draws]).std().item()
    reaches = []
    for i, draw in enumerate(draws[:40]):
        low, high = jackknife(frechet(real, draw), frechet_deletions(real, draw, rng=seeded_generator(i)))
        reaches.append((high - low) / 2)
    assert sum(reaches) / len(reaches) == pytest.approx(2.26 * scatter, rel=0.25)


def test_the_extrapolated_distance_has_lost_its_bias():
    """Against exact moments on the real side, sets from one source are at a distance of about d² / 2N, extrapolated about 0."""
    turn = torch.tensor([[1.0], [-1.0]], dtype=DOUBLE)
    half = normal(4000, 8)
    whitened = (half - half.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(half.T))).T
    real = (whitened * turn[:, None]).flatten(0, 1)
    finite, extrapolated = [], []
    for i in range(10):
        generated = normal(1000, 8, seed=200 + i)
        finite.append(frechet(real, generated))
        extrapolated.append(frechet_infinity(real, generated, rng=seeded_generator(i)))
    bias, left = sum(finite) / 10, sum(extrapolated) / 10
    assert bias > 0.015
    assert abs(left) < bias / 4
