"""The deep image prior: fitted to one picture, it fills in and cleans without having seen another."""

import pytest
import torch

from sfumato.classical.methods import METHODS
from sfumato.core.errors import SettingError
from sfumato.metrics.fidelity import psnr
from sfumato.restoration.deep_prior import deep_prior
from sfumato.restoration.request import METHODS as ALL


@pytest.fixture
def picture():
    """Soft stripes and a disk."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    stripes = 0.5 + 0.3 * torch.sin(x / 3 + y / 7)
    return torch.where((x - 20) ** 2 + (y - 16) ** 2 < 70, 0.9, stripes)[None, None]


def test_it_fills_in_better_than_a_guess(picture):
    known = (torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) > 0.4).float()
    made = deep_prior(picture * known, observed=known, steps=120)
    filled = torch.where(known > 0, picture, made)
    guess = torch.where(known > 0, picture, picture.mean())
    assert psnr(filled, picture).item() > psnr(guess, picture).item() + 3


def test_it_repeats_itself_and_leaves_the_world_alone(picture):
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, other = (deep_prior(picture, steps=3) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(torch.rand(1), before)
    assert one.shape == picture.shape
    assert (one >= 0).all()
    assert (one <= 1).all()


def test_small_and_several_pictures_are_welcome():
    images = torch.rand(2, 3, 1, 5)
    assert deep_prior(images, steps=2).shape == images.shape


def test_what_cannot_be_is_told(picture):
    with pytest.raises(SettingError, match="steps = 0"):
        deep_prior(picture, steps=0)
    with pytest.raises(SettingError, match="no pixel of the picture is observed"):
        deep_prior(picture, observed=torch.zeros_like(picture), steps=2)


def test_it_is_one_of_the_methods():
    assert set(ALL) == {*METHODS, "deep-image-prior"}
