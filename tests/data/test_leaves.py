"""Dead leaves: shapes that hide each other, the same for everybody, with edges and surfaces as photographs have them."""

import random

import numpy as np
import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.data import leaves as module
from sfumato.data.leaves import leaves
from sfumato.data.scenes import _DRAWN, load_scenes


def test_a_picture_depends_on_the_seed_and_its_number_alone():
    some = leaves(4, (40, 56), first=3)
    assert [tuple(p.shape) for p in some.pictures] == [(3, 40, 56)] * 4
    assert torch.equal(some.pictures[2], leaves(1, (40, 56), first=5).pictures[0])
    assert not torch.equal(some.pictures[2], leaves(1, (40, 56), first=5, seed=1).pictures[0])
    assert len({p.numpy().tobytes() for p in some.pictures}) == 4


def test_the_first_picture_stays_what_it_is():
    """A network is trained again from the same pictures only if no release draws others."""
    picture = leaves(1, (48, 64)).pictures[0].float()
    assert picture.mean(dim=(1, 2)).tolist() == pytest.approx([134.7, 136.0, 139.3], abs=0.5)


def test_they_are_smooth_surfaces_with_edges_in_between():
    pictures = torch.stack(leaves(12, (128, 128)).pictures).float()
    steps = (pictures[..., 1:] - pictures[..., :-1]).abs().amax(dim=1)
    assert (steps < 8).float().mean() > 0.6, "surfaces"
    assert (steps > 24).flatten(1).float().mean(dim=1).median() > 0.005, "edges"
    assert pictures.flatten(1).std(dim=1).min() > 2, "none is empty"


def test_grey_ones_are_their_luma():
    grey, colour = leaves(2, (64, 64), channels=1), leaves(2, (64, 64))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for one, other in zip(grey.pictures, colour.pictures, strict=True):
        assert (one.float() - (other * weights).sum(0, keepdim=True)).abs().max() <= 1


@pytest.mark.parametrize("scale", [2.2, 10, 60, 400])
def test_fields_have_mean_0_and_deviation_1_over_large_areas(scale):
    fields = np.stack([module._field(random.Random(i), 256, 192, scale) for i in range(60)])
    assert fields.shape == (60, 256, 192)
    assert abs(fields.mean()) < 0.35
    assert 0.85 < fields.std() < 1.15


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (301, 33)])
def test_any_size_can_be_drawn(size):
    assert leaves(3, size).pictures[0].shape == (3, *size)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": (8, 8)}, {"channels": 2}, {"first": -1}])
def test_what_cannot_be_drawn_is_told(wrong):
    with pytest.raises(SettingError, match=r"leaves: cannot draw"):
        leaves(**{"count": 1, **wrong})


def test_the_named_set_has_two_parts_without_a_common_picture():
    test = load_scenes("leaves", channels=3, part="test")
    assert (test.name, len(test), tuple(test.pictures[0].shape)) == ("leaves", 20, (3, 256, 256))
    assert "free of any terms" in test.terms
    draw, parts = _DRAWN["leaves"]
    assert draw is leaves
    assert not set(parts["train"]) & set(parts["test"])
    assert set(parts["all"]) == {*parts["train"], *parts["test"]}
