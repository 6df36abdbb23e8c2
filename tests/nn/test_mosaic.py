"""Colour filter arrays: what each pixel measures, and the two colours that are guessed."""

import itertools

import pytest
import torch

from sfumato.nn.mosaic import SMALLEST, colour_masks, demosaic

PHASES = torch.tensor(list(itertools.product((0, 1), (0, 1))))
KINDS = ("bilinear", "gradient")


def raw(images, phase):
    return (images * colour_masks(images.shape[2:], phase)).sum(dim=1, keepdim=True)


def test_the_first_pixels_are_red_green_green_blue():
    red, green, blue = colour_masks((2, 2), torch.tensor([[0, 0]]))[0]
    assert red.tolist() == [[1, 0], [0, 0]]
    assert green.tolist() == [[0, 1], [1, 0]]
    assert blue.tolist() == [[0, 0], [0, 1]]


def test_every_pixel_measures_one_colour_and_half_of_them_green():
    masks = colour_masks((6, 8), PHASES)
    assert torch.equal(masks.sum(dim=1), torch.ones(4, 6, 8))
    assert masks.mean(dim=(2, 3)).tolist() == [[0.25, 0.5, 0.25]] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_measured_samples_are_kept(kind):
    images = torch.rand(4, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    masks, seen = colour_masks((12, 10), PHASES), raw(images, PHASES)
    torch.testing.assert_close(demosaic(seen, PHASES, kind) * masks, images * masks)


@pytest.mark.parametrize("kind", KINDS)
def test_planes_of_any_slope_come_back_exactly_away_from_the_border(kind):
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    slopes = torch.stack([y, x, y + x])[None].expand(4, -1, -1, -1) / 32
    back = demosaic(raw(slopes, PHASES), PHASES, kind)
    torch.testing.assert_close(back[:, :, 2:-2, 2:-2], slopes[:, :, 2:-2, 2:-2])


def test_the_gradient_is_sharper_on_grey_texture():
    grey = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)).expand(-1, 3, -1, -1)
    phase = torch.tensor([[0, 1]])
    off = {kind: (demosaic(raw(grey, phase), phase, kind) - grey).square().mean().item() for kind in KINDS}
    assert off["gradient"] < off["bilinear"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_picture_has_all_three_colours(kind):
    flat = torch.tensor([0.2, 0.5, 0.8]).reshape(1, 3, 1, 1).expand(4, 3, SMALLEST, SMALLEST)
    torch.testing.assert_close(demosaic(raw(flat, PHASES), PHASES, kind), flat)
