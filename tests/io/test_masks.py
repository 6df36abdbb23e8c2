"""Masks are read in one way: the brightest channel counts, times opacity, and half of white is the border."""

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import ImageError
from sfumato.io import masks

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


@pytest.mark.parametrize(
    ("mode", "ending"), [("L", ".png"), ("1", ".png"), ("RGB", ".png"), ("RGBA", ".png"), ("I;16", ".tif"), ("L", ".bmp")]
)
def test_the_same_drawing_is_the_same_mask_in_every_format(draw, mode, ending):
    path = draw(mode, ending)
    assert torch.equal(masks.observed(masks.read(path, SIZE), str(path)), HOLE)


def test_transparent_white_is_dark():
    white = torch.ones(1, 3, *SIZE)
    assert torch.equal(masks.dark(masks.brightness(white, 1 - HOLE)), HOLE)


def test_half_of_white_is_bright():
    assert masks.dark(torch.tensor([0.0, 0.49, 0.5, 1.0]).reshape(1, 1, 1, 4)).flatten().tolist() == [1, 1, 0, 0]


def test_a_resized_mask_has_the_size_of_the_network(draw):
    mask = masks.read_resized(draw("L"), (12, 16))
    assert mask.shape == (1, 1, 12, 16)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask[0, 0, 6, 9] == 1


def test_masks_of_another_size_or_of_one_tone_are_refused(draw):
    path = draw("L")
    with pytest.raises(ImageError, match=r"mask\.png: the mask is 8 x 6 pixels, the picture 6 x 8; they must be the same"):
        masks.read(path, SIZE[::-1])
    for tone, words in ((0.0, "black everywhere"), (1.0, "white everywhere"), (1 / 255, "multiply a mask of 0 and 1 by 255")):
        with pytest.raises(ImageError, match=f"a mask: .*{words}"):
            masks.observed(torch.full((1, 1, *SIZE), tone), "a mask")


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "mask.png").write_bytes(np.zeros(9, np.uint8).tobytes())
    with pytest.raises(ImageError, match=r"mask\.png"):
        masks.read(tmp_path / "mask.png", SIZE)
