"""Small copies of pictures: of a bounded size, of the right part, and the same by rows as from the whole."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from sfumato.io import previews


@pytest.fixture
def save(tmp_path):
    def write(array, name="a.png", **options):
        Image.fromarray(array).save(tmp_path / name, **options)
        return tmp_path / name

    return write


def opened(preview):
    image = Image.open(io.BytesIO(preview.content))
    assert (image.format, image.size) == ("WEBP", preview.size[::-1])
    return image


def smooth(h, w):
    """A picture with a slope in each channel."""
    rows, columns = np.linspace(0, 255, h)[:, None], np.linspace(0, 255, w)[None]
    return np.stack([rows + 0 * columns, columns + 0 * rows, (rows + columns) / 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "side", "expected"), [((50, 70), 100, (50, 70)), ((300, 201), 100, (100, 67)), ((8, 1000), 300, (2, 250))]
)
def test_a_reduced_picture_is_no_longer_than_asked_and_the_same_picture(save, size, side, expected):
    array = smooth(*size)
    with previews.open_pixels(save(array), memory=1e9) as source:
        preview = previews.reduced(source, side=side)
    assert preview.size == expected
    mean = np.asarray(opened(preview).convert("RGB")).mean(axis=(0, 1))
    assert np.abs(mean - array.mean(axis=(0, 1))).max() < 4


def test_a_picture_larger_than_memory_gives_the_same_copy(save):
    pytest.importorskip("pyvips")
    path = save(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8))
    copies = []
    for memory in (1e9, 0):
        with previews.open_pixels(path, memory=memory) as source:
            copies.append((previews.reduced(source, side=90).content, previews.square(source, (0.5, 0.5), side=64).content))
    assert copies[0] == copies[1]


def test_hidden_colours_do_not_bleed_into_a_reduced_copy(save):
    array = np.zeros((40, 40, 4), np.uint8)
    array[..., 0] = 255  # hidden red
    array[:, 10:] = (0, 0, 200, 255)
    with previews.open_pixels(save(array), memory=1e9) as source:
        image = opened(previews.reduced(source, side=14))
    pixels = np.asarray(image)
    assert image.mode == "RGBA"
    assert pixels[:, 3, 0].max() < 40  # a third of these squares is hidden
    assert 0 < pixels[5, 3, 3] < 255


@pytest.mark.parametrize("same_size", [True, False])
def test_the_part_that_differs_most_is_found(save, same_size):
    before, after = np.full((400, 500), 120, np.uint8), np.full((400, 500), 120, np.uint8)
    after[300:330, 70:100] = 255
    small = before if same_size else before[:200, :250]
    with (
        previews.open_pixels(save(small, "before.png"), memory=1e9) as one,
        previews.open_pixels(save(after, "after.png"), memory=1e9) as other,
    ):
        row, column = previews.difference_at(one, other)
        part = previews.square(other, (row / 400, column / 500), side=128)
    assert np.asarray(opened(part).convert("L")).max() > 200
    assert part.size == (128, 128)


def test_16_bits_become_8_and_a_picture_without_colour_stays_so(save):
    array = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    with previews.open_pixels(save(array), memory=1e9) as source:
        assert source.rows(0, 64).dtype == torch.uint8
        pixels = np.asarray(opened(previews.reduced(source, side=64)).convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 2
    assert np.abs(pixels[..., 0] - (array >> 8)).mean() < 3


def test_a_small_colour_profile_is_kept_and_a_large_one_is_not(save):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for content, kept in ((profile, True), (profile + bytes(1 << 17), False)):
        with previews.open_pixels(save(smooth(20, 20), icc_profile=content), memory=1e9) as source:
            assert bool(opened(previews.reduced(source, side=20)).info.get("icc_profile")) is kept
