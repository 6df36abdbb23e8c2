"""Wrong pixels and scratches on small pictures, against morphology by SciPy and against counts made by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from sfumato.analysis import flaws
from sfumato.core.tensors import to_images
from sfumato.data.drawings import drawings

GREY = 0.5


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def mask(*shape, share=0.3, seed=0):
    return noise(*shape, seed=seed) < share


def with_hits(size, count, value, *, seed=0):
    """A grey picture with single values of black or white that do not touch, and their places."""
    picture = torch.full((1, 1, size, size), GREY)
    places = torch.randperm((size // 3) ** 2, generator=torch.Generator().manual_seed(seed))[:count]
    rows, columns = places // (size // 3) * 3 + 1, places % (size // 3) * 3 + 1
    picture[0, 0, rows, columns] = value
    return picture, rows, columns


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_density_counts_single_hits(value):
    picture, rows, _ = with_hits(96, 60, value)
    assert flaws.density(picture) == pytest.approx(len(rows) / 96**2, rel=1e-5)


def test_density_adds_salt_and_pepper():
    picture, _, _ = with_hits(96, 60, 0.0)
    picture[0, 0, 2::9, 3::9] = 1.0
    expected = (picture != GREY).float().mean().item()
    assert flaws.density(picture) == pytest.approx(expected, rel=1e-5)


def test_density_counts_among_clear_values_only():
    """The dark half holds no evidence: neither its values nor the hits in it count."""
    picture, _, columns = with_hits(96, 60, 1.0)
    picture[:, :, :, 48:] = 0.0
    clear = columns < 48 - flaws.REACH - 4
    assert flaws.density(picture) == pytest.approx(int(clear.sum()) / (96 * 44), rel=0.25)


def test_density_leaves_out_lines():
    picture = torch.full((1, 1, 96, 96), GREY)
    picture[:, :, 10:80:7] = 0.0
    assert flaws.density(picture) == 0.0
    picture[0, 0, 5, 5] = 0.0
    assert 0 < flaws.density(picture) < 0.001, "but not the one that stands alone"


def test_density_of_too_little_is_nothing():
    assert flaws.density(torch.full((1, 1, 20, 20), GREY)) == 0.0
    assert flaws.density(torch.zeros(1, 1, 64, 64)) == 0.0
    few = torch.zeros(1, 1, 64, 64)
    few[:, :, :6, :6] = GREY
    assert flaws.density(few) == 0.0


def test_an_end_is_within_half_a_step_of_eight_bits():
    values = torch.tensor([0.0, 0.4, 0.6, 254.4, 254.6, 255.0]).reshape(1, 1, 1, 6) / 255
    black, white = flaws._ends(values)
    assert black.flatten().tolist() == [True, True, False, False, False, False]
    assert white.flatten().tolist() == [False, False, False, False, True, True]


def test_surroundings_leave_values_out():
    images, left_out = noise(1, 1, 15, 15), mask(1, 1, 15, 15)
    middle, spread, enough = flaws._surroundings(images, left_out)
    window = ~left_out[0, 0, 4:11, 4:11]
    values = images[0, 0, 4:11, 4:11][window]
    assert middle[0, 0, 7, 7].item() == pytest.approx(values.mean().item(), abs=1e-5)
    assert spread[0, 0, 7, 7].item() == pytest.approx(values.std(unbiased=False).item(), abs=1e-5)
    assert enough.all()


@pytest.mark.parametrize(("left", "enough"), [(0, False), (2, False), (3, True)])
def test_surroundings_of_three_values_are_enough(left, enough):
    left_out = torch.ones(1, 1, 15, 15, dtype=torch.bool)
    left_out[0, 0, 7, 6 : 6 + left] = False
    assert bool(flaws._surroundings(noise(1, 1, 15, 15), left_out)[2][0, 0, 7, 7]) == enough


def test_solid_areas_are_a_reconstruction_from_squares_of_three():
    end = mask(1, 1, 24, 24, share=0.75)
    padded = np.pad(end[0, 0].numpy(), 1, mode="symmetric")
    middles = ndimage.binary_erosion(padded, np.ones((3, 3)))[1:-1, 1:-1]
    expected = ndimage.binary_dilation(middles, np.ones((3, 3))) & end[0, 0].numpy()
    assert 0 < expected.sum() < end.sum()
    assert np.array_equal(flaws._solid(end)[0, 0].numpy(), expected)


def test_neighbours_are_counted_up_down_left_and_right():
    end = mask(1, 1, 8, 9)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    expected = ndimage.correlate(end[0, 0].numpy().astype(np.float32), cross.astype(np.float32), mode="reflect")
    assert torch.allclose(flaws._beside(end)[0, 0], torch.from_numpy(expected), atol=1e-6)


def test_nearest_values_are_those_of_the_eight_neighbours():
    images, left_out = noise(1, 1, 8, 9), mask(1, 1, 8, 9, share=0.5)
    ring = np.ones((3, 3))
    ring[1, 1] = 0
    for index, (filtered, nothing) in enumerate(((ndimage.minimum_filter, np.inf), (ndimage.maximum_filter, -np.inf))):
        values = np.where(left_out[0, 0].numpy(), nothing, images[0, 0].numpy())
        expected = filtered(values, footprint=ring, mode="reflect")
        expected = np.where(np.isfinite(expected), expected, images[0, 0].numpy()).astype(np.float32)
        assert np.array_equal(flaws._nearest(images, left_out)[index][0, 0].numpy(), expected)
    all_out = torch.ones_like(left_out)
    assert torch.equal(flaws._nearest(images, all_out)[0], images)


def test_the_top_hat_is_the_image_without_its_opening():
    images = noise(1, 1, 20, 21)
    opened = ndimage.grey_opening(images[0, 0].numpy(), size=(7, 7), mode="reflect")
    assert torch.allclose(flaws._top_hat(images)[0, 0, 4:-4, 4:-4], (images[0, 0] - torch.from_numpy(opened))[4:-4, 4:-4], atol=1e-6)


def test_impulses_are_the_values_that_stand_out():
    """A step of 0.12 beside equal neighbours is wrong, a smaller one is texture; so is one among neighbours that differ as much."""
    picture = torch.full((1, 1, 24, 24), GREY)
    picture[0, 0, 5, 5], picture[0, 0, 5, 15], picture[0, 0, 15, 5] = GREY + 0.125, GREY + 0.115, GREY - 0.125
    wrong = (flaws.impulses(picture, hit=False) == 0)[0, 0].nonzero().tolist()
    assert wrong == [[5, 5], [15, 5]]
    picture[0, 0, 14, 5], picture[0, 0, 16, 5] = GREY - 0.1, GREY + 0.1
    assert [15, 5] not in (flaws.impulses(picture, hit=False) == 0)[0, 0].nonzero().tolist()


def test_black_and_white_are_wrong_in_a_picture_that_is_hit():
    picture = torch.full((1, 1, 24, 24), 0.03)
    picture[0, 0, 5, 5], picture[0, 0, 10:13, 10:13] = 0.0, 0.0
    assert (flaws.impulses(picture, hit=False) == 1).all(), "black among dark stands out too little"
    assert (flaws.impulses(picture, hit=True) == 0)[0, 0].nonzero().tolist() == [[5, 5]], "and an area of 3 x 3 pixels is no hit"


def test_a_picture_says_by_its_share_whether_it_is_hit():
    for count, hit in ((30, False), (60, True)):
        picture, rows, columns = with_hits(96, count, 0.0)
        picture[picture == GREY] = 0.1  # beside which black stands out too little by itself
        assert (flaws.impulses(picture)[0, 0, rows, columns] == 0).all() == hit


def test_a_plane_for_all_channels_or_one_for_each():
    picture = torch.full((1, 3, 16, 16), GREY)
    picture[0, 1, 5, 5], picture[0, 2, 9, 9] = 1.0, 0.8
    assert (flaws.impulses(picture, hit=False) == 0).nonzero().tolist() == [[0, 0, 5, 5], [0, 0, 9, 9]]
    assert (flaws.impulses(picture, hit=False, each=True) == 0).nonzero().tolist() == [[0, 1, 5, 5], [0, 2, 9, 9]]


def test_a_channel_of_nothing_but_hits_stays():
    picture = torch.cat([torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), GREY)], dim=1)
    assert flaws.impulses(picture, hit=True).all()


def test_bands_are_the_whole(monkeypatch):
    """Of a picture in bands every value is judged by what is within `REACH` of it, on both sides of a seam."""
    picture = 0.4 + 0.2 * noise(1, 1, 200, 12)
    picture[mask(1, 1, 200, 12, share=0.05, seed=1)] = 1.0
    whole = flaws.impulses(picture, hit=True)
    monkeypatch.setattr(flaws, "_TOGETHER", 12 * 64)
    assert torch.equal(flaws.impulses(picture, hit=True), whole)
    assert torch.equal(flaws.impulses(picture[:, :, 50:100], hit=True)[:, :, 4:-4], whole[:, :, 54:96])


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("wide", [1, 2, 4])
def test_a_scratch_is_followed_to_its_end(bright, wide):
    picture = torch.full((1, 1, 96, 96), GREY)
    picture[:, :, 12:84, 40 : 40 + wide] += 0.1 if bright else -0.1
    wrong = flaws.scratches(picture)[0, 0] == 0
    truth = picture[0, 0] != GREY
    assert wrong[truth].all()
    grown = ndimage.binary_dilation(truth.numpy(), np.ones((3, 3)))
    assert np.array_equal(wrong.numpy(), grown), "one pixel around it, for its soft edge"


def test_what_is_no_scratch():
    picture = torch.full((1, 1, 96, 96), GREY)
    for change in (
        lambda p: p[:, :, 12:84, 40:48].add_(0.1),  # as wide as the opening
        lambda p: p[:, :, 12:84, 40:42].add_(0.03),  # too faint
        lambda p: p[:, :, 40:54, 40:42].add_(0.1),  # too short
    ):
        other = picture.clone()
        change(other)
        assert flaws.scratches(other).all()
    small = torch.full((1, 1, 47, 96), GREY)
    small[:, :, :, 40] = 1.0
    assert flaws.scratches(small).all(), "a side under 48 pixels"
    assert (flaws.scratches(torch.cat([small, small[:, :, :1]], dim=2)) == 0).any()


def test_a_line_is_nearly_whole_in_one_direction_alone():
    images = torch.zeros(1, 1, 48, 48)
    images[:, :, 5:43, 24] = 1.0
    seeds, lines = flaws._lines(images)
    assert seeds[0, 0, 15:33, 24].all()
    assert not seeds[0, 0, :, :20].any()
    assert lines[0, 0, 6:42, 24].all(), "a line holds at its ends too, by half"
    everywhere = torch.ones(1, 1, 48, 48)
    assert not any(some.any() for some in flaws._lines(everywhere)), "an area is a line in all directions"


def test_what_is_visible_is_followed_for_64_pixels():
    visible = torch.zeros(1, 1, 3, 100, dtype=torch.bool)
    visible[0, 0, 1] = True
    visible[0, 0, 1, 90] = False
    seeds = torch.zeros_like(visible)
    seeds[0, 0, 1, 10] = True
    connected = flaws._followed(seeds, visible)
    assert connected[0, 0, 1].nonzero().flatten().tolist() == list(range(75))
    seeds[0, 0, 1, 80] = True
    assert connected.sum() < flaws._followed(seeds, visible).sum() == 90
    assert math.isclose(float(flaws._followed(~visible, visible).sum()), 0)


@pytest.mark.parametrize("number", [0, 96])
def test_density_of_a_drawing_is_that_of_its_wrong_pixels(number):
    """In the grey rims of letters, half of the values are black: as many as in noise, but there only."""
    drawing = to_images(drawings(1, channels=3, first=number).pictures[0][None])
    assert flaws.density(drawing) == 0.0
    wrong = noise(1, 1, *drawing.shape[2:], seed=1) < 0.03
    assert 0.003 < flaws.density(drawing.masked_fill(wrong, 0.0)) < 0.06


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7])
def test_density_of_noise_on_any_ground(share):
    """On a page, where salt is not seen, as much as on grey."""
    for ground in (GREY, 1.0):
        picture = torch.full((1, 1, 128, 128), ground)
        picture[..., :64] = GREY
        lots = noise(1, 1, 128, 128, seed=2)
        picture = picture.masked_fill(lots < share, 0.0).masked_fill(lots < share / 2, 1.0)
        assert flaws.density(picture) == pytest.approx(share, rel=0.3)


def test_values_stand_alone_without_any_of_8_neighbours():
    end = mask(1, 1, 24, 24)
    padded = np.pad(end[0, 0].numpy(), 1, mode="symmetric").astype(float)
    expected = end[0, 0].numpy() & (ndimage.convolve(padded, np.ones((3, 3)))[1:-1, 1:-1] < 1.5)
    assert 0 < expected.sum() < end.sum()
    assert np.array_equal(flaws._alone(end)[0, 0].numpy(), expected)
