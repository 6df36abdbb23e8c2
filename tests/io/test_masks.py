"""Masks are read in one way: the brightest channel counts, times opacity, and each pixel that is not clearly dark is filled in."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core import progress
from sfumato.core.errors import ImageError, SettingError
from sfumato.io import inputs, masks
from sfumato.io.masks import MaskOptions

SIZE = (6, 8)


@pytest.fixture
def draw(tmp_path):
    """Saves a mask in a mode, white inside rows 2 to 4 and columns 3 to 6."""

    def save(mode, ending=".png"):
        image = Image.new(mode, SIZE[::-1])
        image.paste({"L": 255, "1": 1, "RGB": (0, 255, 0), "RGBA": (255, 0, 0, 255), "I;16": 65535}[mode], (3, 2, 6, 4))
        path = tmp_path / f"mask{ending}"
        image.save(path)
        return path

    return save


HOLE = torch.ones(1, 1, *SIZE)
HOLE[..., 2:4, 3:6] = 0


@contextlib.contextmanager
def remarks():
    found = []
    with progress.heard(lambda _: None, remark=found.append):
        yield found


def plane(*values):
    return torch.tensor([values]).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("mode", "ending"), [("L", ".png"), ("1", ".png"), ("RGB", ".png"), ("RGBA", ".png"), ("I;16", ".tif"), ("L", ".bmp")]
)
def test_the_same_drawing_is_the_same_mask_in_every_format(draw, mode, ending):
    path = draw(mode, ending)
    assert torch.equal(masks.observed(masks.read(path, SIZE), str(path)), HOLE)


def test_transparent_white_is_dark():
    white = torch.ones(1, 3, *SIZE)
    assert torch.equal(masks.observed_rows(masks.brightness(white, 1 - HOLE), MaskOptions()), HOLE)


def test_soft_edges_count_and_what_is_clearly_dark_does_not():
    levels = plane(0, 2, 8, 9, 60, 127, 254, 255) / 255
    assert masks.observed_rows(levels, MaskOptions()).flatten().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert torch.equal(masks.observed_rows(1 - levels, MaskOptions(invert=True)), masks.observed_rows(levels, MaskOptions()))


@pytest.mark.parametrize("reach", [0, 1, 3, 40])
def test_growing_takes_all_that_is_near(reach):
    drawn = (torch.rand(1, 1, 30, 36, generator=torch.Generator().manual_seed(0)) < 0.01).float()
    found = drawn[0, 0].nonzero()
    hole = masks.observed_rows(drawn, MaskOptions(grow=reach))[0, 0] == 0
    for row in range(30):
        for column in range(36):
            near = (found - torch.tensor([row, column])).abs().amax(dim=1).min() <= reach
            assert bool(hole[row, column]) == bool(near)


@pytest.mark.parametrize("largest", [1 / 255, 1 / 65535, 255 / 65535])
def test_a_mask_of_0_and_1_is_taken_as_one_and_said_so(largest):
    drawn = plane(0, 1, 1, 0, 0).float()
    with remarks() as said:
        assert torch.equal(masks.observed(drawn * largest, "m.png", MaskOptions()), 1 - drawn)
        assert torch.equal(masks.observed(drawn * largest, "m.png", MaskOptions(invert=True)), drawn)
    assert len(said) == 2
    assert all("m.png" in each and "0 and 1" in each for each in said)


def test_a_mask_of_most_is_asked_about_and_one_of_half_is_not():
    most, half = plane(1.0, 1.0, 1.0, 0.0), plane(1.0, 1.0, 0.0, 0.0)
    with remarks() as said:
        masks.observed(half, "m.png", MaskOptions())
        masks.observed(half, "m.png", MaskOptions(invert=True))
    assert said == []
    with remarks() as said:
        masks.observed(most, "m.png", MaskOptions())
    assert said == ["m.png: the mask covers 75.0% of the picture; if it is white where the picture is to stay, give --invert-mask"]
    with remarks() as said:
        masks.observed(1 - most, "m.png", MaskOptions(invert=True))
    assert said == ["m.png: the mask covers 75.0% of the picture; if it is black where the picture is to stay, leave --invert-mask out"]


def test_masks_of_nothing_and_of_all_are_refused():
    for level, options, says in [
        (0.0, MaskOptions(), "the mask is black everywhere, so there is nothing to fill in; paint white where"),
        (1.0, MaskOptions(), "the mask is white everywhere, so nothing is left to fill in from; paint black what"),
        (1.0, MaskOptions(invert=True), "the mask is white everywhere, so there is nothing to fill in; paint black where"),
        (0.0, MaskOptions(invert=True), "the mask is black everywhere, so nothing is left to fill in from; paint white what"),
    ]:
        with pytest.raises(ImageError, match=f"m.png: {says}"):
            masks.observed(torch.full((1, 1, 4, 5), level), "m.png", options)
    dot = torch.zeros(1, 1, 4, 5)
    dot[..., 1, 1] = 1
    with pytest.raises(ImageError, match=r"nothing is left to fill in from.* less than 10 pixels"):
        masks.observed(dot, "m.png", MaskOptions(grow=10))


def test_brightness_is_of_the_brightest_colour_as_far_as_it_is_seen():
    layers = torch.tensor([0.0, 0.0, 1.0, 0.5]).reshape(1, 4, 1, 1)
    assert masks.brightness(layers[:, :3], layers[:, 3:]).item() == 0.5
    assert masks.brightness(layers[:, :3]).item() == 1.0


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


def test_masks_of_another_size_are_refused(draw):
    with pytest.raises(ImageError, match=r"mask\.png: the mask is 8 x 6 pixels, the picture 6 x 8; they must be the same"):
        masks.read(draw("L"), SIZE[::-1])


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "mask.png").write_bytes(np.zeros(9, np.uint8).tobytes())
    with pytest.raises(ImageError, match=r"mask\.png"):
        masks.read(tmp_path / "mask.png", SIZE)


def test_opacity_is_a_mask_of_all_that_is_not_opaque():
    bright = masks.brightness_of_alpha(plane(1.0, 254 / 255, 200 / 255, 0.0))
    with remarks() as said:
        assert masks.observed(bright, "m.png").flatten().tolist() == [1, 1, 0, 0]
        assert masks.observed(bright, "m.png", MaskOptions(invert=True)).flatten().tolist() == [0, 0, 1, 1]
    assert said == []


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float32])
def test_tensors_of_integers_are_masks_of_0_and_1_or_of_white(dtype):
    drawn = (1 - HOLE[0, 0]).to(torch.int32)
    assert torch.equal(inputs.brightness(drawn.to(dtype)), 1 - HOLE)
    if dtype in (torch.uint8, torch.uint16, torch.int64):
        white = (drawn * (65535 if dtype == torch.uint16 else 255)).to(dtype)
        assert torch.equal(inputs.brightness(white), 1 - HOLE)
