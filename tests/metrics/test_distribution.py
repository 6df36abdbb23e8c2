"""The report: every number with its interval and protocol, in the right direction."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.distribution import distribution_report, frechet, kid, precision_recall
from sfumato.metrics.interval import wilson


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded_generator(seed))


def report(real, generated, **facts):
    measurements = distribution_report(real, generated, features="tiny", rng=seeded_generator(0), **facts)
    return {m.name: m for m in measurements}


@pytest.fixture(scope="module")
def better():
    return report(normal(300, 8), normal(200, 8, seed=1) * 1.1 + 0.1, weights="ab" * 32, reference="toy 01", seed=3, notes="a note")


def test_every_question_is_answered(better):
    names = ["frechet", "frechet_infinity", "kid", "mind", "precision", "recall", "density", "coverage"]
    assert list(better) == names


def test_every_number_says_how_it_was_measured(better):
    for name, m in better.items():
        p, real = m.protocol, 300 if name.startswith("frechet") else 200  # all pairs are looked at in equal numbers
        assert (p.features, p.weights, p.dimension, p.reference) == ("tiny", "ab" * 32, 8, "toy 01")
        assert (p.real, p.generated, p.seed, p.resize, p.dtype) == (real, 200, 3, "none", "float32")
        assert p.notes.endswith("a note")
        assert "\n" not in str(m)


def test_every_interval_holds_its_value_and_says_what_it_covers(better):
    for name, m in better.items():
        if name == "frechet_infinity":
            assert m.interval is None
            assert m.protocol.interval == ""
        else:
            assert m.interval[0] < m.value < m.interval[1]
            assert m.protocol.interval.startswith("95 %")


def test_shares_have_the_interval_of_the_images_they_are_shares_of(better):
    for name, count in (("precision", 200), ("recall", 200)):
        assert better[name].interval == wilson(round(better[name].value * count), count)


def test_the_numbers_are_those_of_the_functions(better):
    assert better["frechet"].value == pytest.approx(frechet(normal(300, 8), normal(200, 8, seed=1) * 1.1 + 0.1))
    real, generated = normal(200, 8), normal(200, 8, seed=1) * 1.1 + 0.1
    equal = report(real, generated)
    assert equal["kid"].value == pytest.approx(kid(real, generated, subsets=200, subset_size=190, rng=seeded_generator(1))[0], abs=0.01)
    assert (equal["precision"].value, equal["recall"].value) == precision_recall(real, generated)


def test_many_real_images_are_cut_down_to_some_that_stand_for_all():
    real, generated = normal(2000, 8), normal(200, 8, seed=1)
    figures = report(real, generated)
    assert figures["recall"].value == pytest.approx(precision_recall(real[:200], generated)[1], abs=0.1)
    assert figures["kid"].protocol.real == 200


def test_many_generated_images_do_not_cover_more():
    rng = torch.Generator().manual_seed(0)
    real, narrow = torch.randn(300, 8, generator=rng), torch.randn(6000, 8, generator=rng) / 2
    few, many = (
        {m.name: m for m in distribution_report(real, part, features="x", rng=torch.Generator().manual_seed(1))}
        for part in (narrow[:300], narrow)
    )
    for name in ("precision", "recall", "density", "coverage"):
        assert many[name].value == pytest.approx(few[name].value, abs=0.1), name
        assert many[name].protocol.generated == 300
    assert many["frechet"].protocol.generated == 6000


def test_a_worse_set_is_worse_in_every_answer(better):
    worse = report(normal(300, 8), normal(200, 8, seed=1) * 0.5 + 2, weights="ab" * 32, reference="toy 01")
    for name, m in better.items():
        assert m.difference(worse[name]) * (1 if m.higher_is_better else -1) > 0
        assert m.better(worse[name]) is (None if name == "frechet_infinity" else True)


def test_other_features_or_counts_are_not_compared(better):
    other = report(normal(300, 8), normal(199, 8, seed=1))
    with pytest.raises(SettingError, match="generated: 200 / 199"):
        better["frechet"].difference(other["frechet"])


def test_few_images_are_said_to_be_few():
    few = report(normal(25, 40), normal(25, 40, seed=1))
    assert "fewer images than dimensions" in few["frechet"].protocol.notes
    assert "frechet_infinity" not in few


def test_the_same_generator_gives_the_same_report():
    sets = normal(60, 4), normal(60, 4, seed=1)
    first, again = report(*sets), report(*sets)
    assert [m.value for m in first.values()] == pytest.approx([m.value for m in again.values()], rel=1e-9)
    for a, b in zip(first.values(), again.values(), strict=True):
        assert a.interval == (None if b.interval is None else pytest.approx(b.interval, rel=1e-9))
