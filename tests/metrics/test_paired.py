"""Paired differences and McNemar's test, against values by hand and against simulations."""

import math

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.metrics.paired import mcnemar, paired_difference


def test_equal_answers_have_no_difference():
    assert paired_difference(torch.zeros(5, 7)) == (0.0, 0.0, 0.0)
    answers = torch.tensor([True, False])
    assert mcnemar(answers, answers) == (0, 0, 1.0)


def test_the_interval_is_that_of_students_t_over_splits():
    """Images alike: the five means are 1 to 5, so t(4) * sqrt(2.5 / 5) = 2.776 * 0.7071."""
    difference = paired_difference(torch.arange(1.0, 6.0)[:, None].expand(5, 3))
    assert difference.mean == 3
    assert difference.high - 3 == pytest.approx(2.776 * math.sqrt(0.5), rel=5e-3)


def test_images_that_differ_widen_the_interval():
    """All splits alike: only images vary, and there are 499 degrees of freedom."""
    rows = torch.randn(1, 500, generator=torch.Generator().manual_seed(0)).expand(5, 500)
    low, high = paired_difference(rows)[1:]
    assert high - low == pytest.approx(2 * 1.965 * rows[0].std().item() / math.sqrt(500), rel=5e-3)


@pytest.mark.parametrize("spreads", [(0.05, 0.3, 0.3), (0.0, 0.2, 0.45), (0.01, 0.1, 0.2), (0.1, 0.0, 0.1)])
def test_the_interval_covers_the_mean_as_often_as_it_says(spreads):
    """Effects of splits, of images, and of both together: 95 % of 300 intervals, and not nearly all, cover the mean 0."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((5, 1), (1, 100), (5, 100))
    covered = 0
    for _ in range(300):
        effects = [torch.randn(shape, generator=rng) * spread for shape, spread in zip(shapes, spreads, strict=True)]
        _, low, high = paired_difference(effects[0] + effects[1] + effects[2])
        covered += low <= 0 <= high
    assert 276 <= covered <= 295


def test_too_few_splits_are_refused():
    with pytest.raises(SettingError, match="1 splits"):
        paired_difference(torch.zeros(1, 5))


@pytest.mark.parametrize(("lost", "won", "p"), [(0, 3, 0.25), (3, 0, 0.25), (2, 2, 1.0), (5, 15, 0.041389), (600, 600, 1.0)])
def test_mcnemar(lost, won, p):
    first = torch.tensor([True] * lost + [False] * won + [True] * 4)
    second = torch.tensor([False] * lost + [True] * won + [True] * 4)
    result = mcnemar(first, second)
    assert (result.lost, result.won) == (lost, won)
    assert result.p == pytest.approx(p, rel=1e-4)


def test_mcnemar_of_many_answers_continues_the_exact_one():
    exact = mcnemar(torch.arange(1000) < 460, torch.arange(1000) >= 460).p
    normal = mcnemar(torch.arange(1002) < 461, torch.arange(1002) >= 461).p
    assert normal == pytest.approx(exact, rel=0.05)
