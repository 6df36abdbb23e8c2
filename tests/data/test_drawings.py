"""Pictures that are drawn here: the same for everybody, of all kinds, and joined with others by a plus."""

import pytest
import torch

from sfumato.core.errors import DataError, SettingError
from sfumato.data.drawings import drawings
from sfumato.data.scenes import load_scenes


def test_a_drawing_depends_on_the_seed_and_its_number_alone():
    some = drawings(8, (40, 56), first=3)
    assert [tuple(p.shape) for p in some.pictures] == [(3, 40, 56)] * 8
    assert torch.equal(some.pictures[2], drawings(1, (40, 56), first=5).pictures[0])
    assert not torch.equal(some.pictures[2], drawings(1, (40, 56), first=5, seed=1).pictures[0])
    assert len({p.numpy().tobytes() for p in some.pictures}) == 8


def test_they_hold_pure_colours_even_areas_and_soft_edges():
    pictures = torch.stack(drawings(30).pictures)
    pure = ((pictures == 0) | (pictures == 255)).all(dim=1) & (pictures.amax(dim=1) != pictures.amin(dim=1))
    assert pure.float().mean() > 0.03, "primaries"
    even = (pictures[:, :, :, 1:] == pictures[:, :, :, :-1]).all(dim=1).float().mean()
    assert 0.6 < even < 0.97
    assert (pictures != pictures[:, :, :1, :1]).flatten(1).any(dim=1).all(), "none is empty"


def test_grey_ones_are_their_luma():
    grey, colour = drawings(6, channels=1), drawings(6)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for one, other in zip(grey.pictures, colour.pictures, strict=True):
        assert (one.float() - (other * weights).sum(0, keepdim=True)).abs().max() <= 1


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": (8, 8)}, {"channels": 2}, {"first": -1}])
def test_what_cannot_be_drawn_is_told(wrong):
    with pytest.raises(SettingError, match="cannot draw"):
        drawings(**{"count": 1, **wrong})


def test_sets_with_a_plus_between_them_are_one():
    both = load_scenes("drawings+drawings", channels=1, part="test")
    assert len(both) == 2 * len(load_scenes("drawings", channels=1, part="test")) == 40
    assert both.name == "drawings+drawings"
    assert "free of any terms" in both.terms
    kept = {p.numpy().tobytes() for p in load_scenes("drawings", channels=1).pictures}
    assert not kept & {p.numpy().tobytes() for p in both.pictures}, "none is in both parts"
    with pytest.raises(DataError, match="drawigns"):
        load_scenes("drawings+drawigns", channels=1)
