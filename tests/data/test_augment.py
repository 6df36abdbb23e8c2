"""Augmentation: each change is what its name says, for each image by itself, and differentiable twice."""

import pytest
import torch
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.data.augment import Config

EVERYTHING = Config(flip=0.5, shift=0.2, zoom=0.3, colour=0.5, cutout=0.4)


@pytest.fixture
def images():
    return torch.rand(64, 3, 12, 9, generator=torch.Generator().manual_seed(0))


def draws(count=64, seed=1):
    return torch.rand(count, 13, generator=torch.Generator().manual_seed(seed))


def ramp(count, h=12, w=9):
    """Images that rise by one a column and ten a row."""
    return (torch.arange(w).float() + 10 * torch.arange(h).float()[:, None]).expand(count, 1, h, w).contiguous()


def test_nothing_asked_for_nothing_changed(images):
    assert torch.equal(Config()(images, draws()), images)
    assert not Config().active


def test_with_probability_zero_nothing_changes(images):
    config = Config(flip=1, shift=0.5, zoom=0.9, colour=1, cutout=1, probability=0)
    torch.testing.assert_close(config(images, draws()), images)
    assert not config.active


@pytest.mark.parametrize("one", ["flip", "shift", "zoom", "colour", "cutout"])
def test_each_setting_alone_does_something(one, images):
    config = Config(**{one: 0.5})
    assert config.active
    assert not torch.equal(config(images, draws()), images)


def test_a_flip_is_exact(images):
    assert torch.equal(Config(flip=1.0)(images, draws()), images.flip(3))


def test_flip_and_turn_give_all_eight_symmetries_of_a_square_equally_often():
    square = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    config = Config(flip=0.5, turn=0.5)
    augmented = config(square.expand(4000, -1, -1, -1), draws(4000))
    counts = [
        int((augmented == each).flatten(1).all(1).sum())
        for turned in (square, square.mT)
        for each in (turned, turned.flip(2), turned.flip(3), turned.flip(2, 3))
    ]
    assert sum(counts) == 4000
    assert min(counts) > 400


def test_grey_takes_the_colour_of_as_many_as_asked_for(images):
    faded = Config(grey=1.0)(images, draws())
    luma = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    torch.testing.assert_close(faded, luma[:, None].expand_as(images))
    some = Config(grey=0.25)(images.repeat(40, 1, 1, 1), draws(2560))
    share = (some[:, 0] == some[:, 1]).flatten(1).all(1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.04)


def test_what_cannot_be_turned_or_faded_is_refused(images):
    with pytest.raises(SettingError, match="square images, these are 9 x 12"):
        Config(turn=0.5)(images, draws())
    with pytest.raises(SettingError, match="3 channels, these have 1"):
        Config(grey=0.5)(images[:, :1], draws())


def test_flips_come_as_often_as_asked_for():
    images = torch.rand(4000, 1, 2, 2)
    flipped = (Config(flip=0.3)(images, draws(4000)) != images).flatten(1).any(1)
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_a_shift_is_by_whole_pixels_and_repeats_the_border(images):
    most_down, most_right = round(0.25 * 12), round(0.25 * 9)
    moved = Config(shift=0.25)(images, draws())
    padded = F.pad(images, (most_right, most_right, most_down, most_down), mode="replicate")
    hit = set()
    for i, image in enumerate(moved):
        places = [
            (down, right)
            for down in range(2 * most_down + 1)
            for right in range(2 * most_right + 1)
            if torch.equal(image, padded[i, :, down : down + 12, right : right + 9])
        ]
        assert len(places) == 1, f"image {i} is no shift by at most a quarter"
        hit |= set(places)
    assert {down for down, _ in hit} == set(range(2 * most_down + 1)), "all shifts come up, in both directions"
    assert {right for _, right in hit} == set(range(2 * most_right + 1))


def test_a_zoom_keeps_the_middle_and_changes_the_slopes_within_its_bounds():
    zoomed = Config(zoom=0.5)(ramp(200, 13, 13), draws(200))
    across, down = zoomed[:, 0, 6, 7] - zoomed[:, 0, 6, 6], (zoomed[:, 0, 7, 6] - zoomed[:, 0, 6, 6]) / 10
    for slope in (across, down):
        assert ((slope > 1 / 1.5 - 1e-4) & (slope < 1.5 + 1e-4)).all()
        assert slope.min() < 0.7, "some are nearly as large as can be"
        assert slope.max() > 1.4, "and some as small"
    torch.testing.assert_close(zoomed[:, 0, 6, 6], torch.full((200,), 66.0))
    assert (across - down).abs().max() > 0.3, "each side for itself"


def test_a_zoom_of_a_flat_image_is_the_image():
    flat = torch.full((8, 3, 12, 9), 0.37)
    torch.testing.assert_close(Config(zoom=0.9, shift=0.5, flip=0.5)(flat, draws(8)), flat)


def test_a_hole_is_a_grey_rectangle_of_the_side_asked_for():
    holes = Config(cutout=0.5)(torch.zeros(500, 1, 20, 10), draws(500)) == 0.5
    tall, wide = holes.any(3).sum(2).flatten(), holes.any(2).sum(2).flatten()
    assert torch.equal(holes.sum((1, 2, 3)), tall * wide), "each hole is a full rectangle"
    assert tall.max() == 10
    assert wide.max() == 5
    inside = (tall == 10) & (wide == 5)
    assert 0.1 < inside.float().mean() < 0.5, "about a quarter lies inside the image as a whole"


def test_colour_of_a_grey_image_is_brightness_and_contrast():
    images = torch.rand(200, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    changed = Config(colour=0.6)(images, draws(200))
    before, after = (x.flatten(1) - x.mean((1, 2, 3))[:, None] for x in (images, changed))
    contrast = (before * after).sum(1) / before.square().sum(1)
    torch.testing.assert_close(after, contrast[:, None] * before, atol=1e-5, rtol=0)
    brightness = (changed - images).mean((1, 2, 3))
    for value, low, high in ((contrast, 0.7, 1.3), (brightness, -0.3, 0.3)):
        assert low - 1e-4 < value.min() < low + 0.05
        assert high - 0.05 < value.max() < high + 1e-4


def test_saturation_scales_the_distance_from_grey_of_all_pixels_alike(images):
    changed = Config(colour=0.6)(images, draws())
    before, after = (x - x.mean(1, keepdim=True) for x in (images, changed))
    factor = (before * after).sum((1, 2, 3)) / before.square().sum((1, 2, 3))
    torch.testing.assert_close(after, factor[:, None, None, None] * before, atol=1e-5, rtol=0)
    assert factor.min() < 0.6
    assert factor.max() > 1.4


def test_as_many_images_are_changed_as_the_probability_says():
    images = torch.rand(2000, 1, 4, 4)
    changed = (Config(colour=1.0, probability=0.25)(images, draws(2000)) != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_a_row_of_numbers_decides_about_its_own_image_and_no_other(images):
    u, other = draws(), draws(seed=2)
    changed = EVERYTHING(images, u)
    for i in (0, 17, 63):
        alone = EVERYTHING(images[i : i + 1], u[i : i + 1])
        torch.testing.assert_close(alone[0], changed[i], msg="an image's change depends on its batch")
        mixed = u.clone()
        mixed[i] = other[i]
        again = EVERYTHING(images, mixed)
        assert not torch.equal(again[i], changed[i])
        assert torch.equal(again[:i], changed[:i])
        assert torch.equal(again[i + 1 :], changed[i + 1 :])


def test_it_stays_in_full_precision_under_autocast(images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = EVERYTHING(images, draws())
    assert half.dtype == torch.float32
    assert torch.equal(half, EVERYTHING(images, draws()))
    assert EVERYTHING(images.bfloat16(), draws()).dtype == torch.float32


@pytest.fixture
def few():
    """Images of few pixels in float64, for numerical derivatives; the augmentation itself computes in float32."""
    return torch.rand(3, 2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)


def test_its_gradient_is_right(few):
    assert torch.autograd.gradcheck(lambda x: EVERYTHING(x, draws(3)).double(), few, eps=1e-1, atol=1e-4)


def test_its_second_derivative_is_right(few):
    def cubed(x):
        return EVERYTHING(x, draws(3)).double() ** 3

    assert torch.autograd.gradgradcheck(cubed, few, eps=1e-2, atol=1e-2)
