"""Laws for every degradation in the folder."""

import dataclasses

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import Degradation, Degraded, degrade, intact

NOISE, BLUR, HOLES = (DEGRADATIONS[name] for name in ("noise", "gaussian_blur", "missing"))

RANDOM = {
    "noise": {"sigma": (0.0, 0.3), "grey": 0.5},
    "impulse": {"density": (0.1, 0.6)},
    "gaussian_blur": {"sigma": (0.5, 2.0), "stretch": (1.0, 3.0)},
    "defocus": {"radius": (1.0, 3.0)},
    "motion": {"length": (2.0, 9.0)},
    "missing": {"kind": "strokes", "share": (0.1, 0.4), "thickness": (0.05, 0.2)},
    "dust": {"specks": (2000.0, 9000.0), "hairs": (500.0, 900.0), "scratches": (500.0, 900.0)},
    "chain": {"links": (NOISE(), BLUR(), HOLES()), "chances": (0.5, 0.5, 0.5), "shuffle": True},
}
"""Settings that leave each image something to draw."""

pytestmark = pytest.mark.parametrize("name", list(DEGRADATIONS))


@pytest.fixture
def how(name):
    return DEGRADATIONS[name](**RANDOM.get(name, {}))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def same(one: Degraded, other: Degraded):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(Degraded))


def test_it_is_a_degradation(how):
    assert isinstance(how, Degradation)


def test_the_same_seed_does_the_same_damage_and_leaves_the_clean_image_alone(how, photos):
    before = photos.clone()
    assert same(degrade(how, photos, rng=seeded()), degrade(how, photos, rng=seeded()))
    assert torch.equal(photos, before)


def test_another_seed_does_other_damage(how, name, photos):
    if name in ("downsample", "quantise"):
        pytest.skip("there is nothing random in it")
    assert not same(degrade(how, photos, rng=seeded(0)), degrade(how, photos, rng=seeded(1)))


def test_the_result_is_finite_and_says_what_is_known(how, photos):
    seen = degrade(how, photos, rng=seeded())
    assert seen.images.dtype == torch.float32
    assert torch.isfinite(seen.images).all()
    assert seen.observed.shape == (8, 1, *seen.images.shape[2:])
    assert set(seen.observed.unique().tolist()) <= {0.0, 1.0}
    assert ((seen.noise >= 0) & (seen.quality > 0) & (seen.quality <= 1)).all()


def test_an_image_does_not_know_its_neighbours(how, photos):
    others = torch.cat([photos[:1], 1 - photos[1:].flip(2)])
    one, other = degrade(how, photos, rng=seeded()), degrade(how, others, rng=seeded())
    torch.testing.assert_close(one.images[0], other.images[0], rtol=0, atol=1e-6)
    assert torch.equal(one.observed[0], other.observed[0])


def test_processes_that_share_a_batch_see_what_one_would(how, photos):
    whole = degrade(how, photos, rng=seeded())
    for part in range(2):
        half = slice(4 * part, 4 * part + 4)
        seen = how(intact(photos[half]), Draws(rng=seeded(), count=4, part=part, parts=2))
        torch.testing.assert_close(seen.images, whole.images[half], rtol=0, atol=1e-6)
        assert torch.equal(seen.observed, whole.observed[half])


def test_grey_and_odd_sizes_are_welcome(how, photos):
    for shape in ((1, 5, 7), (3, 1, 9), (1, 1, 1)):
        seen = degrade(how, torch.rand(2, *shape, generator=seeded()), rng=seeded())
        assert torch.isfinite(seen.images).all()


def test_a_picture_without_colour_is_not_given_any(name, photos):
    how = DEGRADATIONS[name](**{**RANDOM.get(name, {}), **({"together": False} if name == "impulse" else {})})
    grey = photos.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    seen = degrade(how, grey, rng=seeded()).images
    torch.testing.assert_close(seen, seen[:, :1].expand_as(seen), rtol=0, atol=1e-6)


def test_spans_begin_before_they_end(name, ranges):
    kind = DEGRADATIONS[name]
    for field, (plain, limits) in ranges(kind).items():
        if "float, float" in str(plain):
            with pytest.raises(SettingError, match="has the larger value first"):
                kind(**{field: (limits.high, limits.low)})
