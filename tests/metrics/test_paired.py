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
    rows = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)).expand(5, 50)
    low, high = paired_difference(rows)[1:]
    assert high - low == pytest.approx(2 * 2.776 * rows[0].std().item() / math.sqrt(50), rel=5e-3)


def test_the_interval_covers_zero_for_classifiers_that_are_equally_good():
    rng = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(200):
        split, image = torch.randn(5, 1, generator=rng) * 0.05, torch.randn(1, 100, generator=rng) * 0.3
        _, low, high = paired_difference(split + image + torch.randn(5, 100, generator=rng) * 0.3)
        covered += low <= 0 <= high
    assert covered >= 190


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
