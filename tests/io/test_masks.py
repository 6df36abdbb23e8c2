"""Masks: every pixel counts that is not clearly intact, however the mask was saved."""

import contextlib

import pytest
import torch

from sfumato.core import progress
from sfumato.core.errors import ImageError, SettingError
from sfumato.io import masks
from sfumato.io.masks import MaskOptions


@contextlib.contextmanager
def remarks():
    found = []
    with progress.heard(lambda _: None, remark=found.append):
        yield found


def plane(*values):
    return torch.tensor([values]).reshape(1, 1, 1, -1)


def test_soft_edges_count_and_what_is_clearly_dark_does_not():
    levels = plane(0, 2, 8, 9, 60, 127, 254, 255) / 255
    assert masks.observed(levels, MaskOptions()).flatten().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert torch.equal(masks.observed(1 - levels, MaskOptions(invert=True)), masks.observed(levels, MaskOptions()))


@pytest.mark.parametrize("reach", [0, 1, 3, 40])
def test_growing_takes_all_that_is_near(reach):
    drawn = (torch.rand(1, 1, 30, 36, generator=torch.Generator().manual_seed(0)) < 0.01).float()
    found = drawn[0, 0].nonzero()
    hole = masks.observed(drawn, MaskOptions(grow=reach))[0, 0] == 0
    for row in range(30):
        for column in range(36):
            near = (found - torch.tensor([row, column])).abs().amax(dim=1).min() <= reach
            assert bool(hole[row, column]) == bool(near)


@pytest.mark.parametrize("largest", [1 / 255, 1 / 65535, 255 / 65535])
def test_a_mask_of_0_and_1_is_taken_as_one_and_said_so(largest):
    drawn = plane(0, 1, 1, 0, 0).float()
    with remarks() as said:
        assert torch.equal(masks.read(drawn * largest, MaskOptions(), "m.png"), 1 - drawn)
        assert torch.equal(masks.read(drawn * largest, MaskOptions(invert=True), "m.png"), drawn)
    assert len(said) == 2
    assert all("m.png" in each and "0 and 1" in each for each in said)


def test_a_mask_of_most_is_asked_about_and_one_of_half_is_not():
    most, half = plane(1.0, 1.0, 1.0, 0.0), plane(1.0, 1.0, 0.0, 0.0)
    with remarks() as said:
        masks.read(half, MaskOptions(), "m.png")
        masks.read(half, MaskOptions(invert=True), "m.png")
    assert said == []
    with remarks() as said:
        masks.read(most, MaskOptions(), "m.png")
    assert said == ["m.png: the mask covers 75.0% of the picture; if it is white where the picture is to stay, give --invert-mask"]
    with remarks() as said:
        masks.read(1 - most, MaskOptions(invert=True), "m.png")
    assert said == ["m.png: the mask covers 75.0% of the picture; if it is black where the picture is to stay, leave --invert-mask out"]


def test_masks_of_nothing_and_of_all_are_refused():
    for level, options, says in [
        (0.0, MaskOptions(), "the mask is black everywhere, so there is nothing to fill in; paint white where"),
        (1.0, MaskOptions(), "the mask is white everywhere, so nothing is left to fill in from; paint black what"),
        (1.0, MaskOptions(invert=True), "the mask is white everywhere, so there is nothing to fill in; paint black where"),
        (0.0, MaskOptions(invert=True), "the mask is black everywhere, so nothing is left to fill in from; paint white what"),
    ]:
        with pytest.raises(ImageError, match=f"m.png: {says}"):
            masks.read(torch.full((1, 1, 4, 5), level), options, "m.png")
    dot = torch.zeros(1, 1, 4, 5)
    dot[..., 1, 1] = 1
    with pytest.raises(ImageError, match=r"nothing is left to fill in from.* less than 10 pixels"):
        masks.read(dot, MaskOptions(grow=10), "m.png")


def test_brightness_is_of_the_brightest_colour_as_far_as_it_is_seen():
    layers = torch.tensor([0.0, 0.0, 1.0, 0.5]).reshape(1, 4, 1, 1)
    assert masks.brightness(layers, 3).item() == 0.5
    assert masks.brightness(layers[:, :3], 3).item() == 1.0


@pytest.mark.parametrize("grow", [-1, 1001])
def test_a_growth_that_cannot_be_is_told(grow):
    with pytest.raises(SettingError, match=f"grow_mask = {grow} is outside"):
        MaskOptions(grow=grow).check()


def test_a_file_called_alpha_is_a_mask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert masks.is_alpha("alpha")
    assert not masks.is_alpha("alpha.png")
    assert not masks.is_alpha(torch.zeros(1))
    (tmp_path / "alpha").mkdir()
    assert not masks.is_alpha("alpha")
