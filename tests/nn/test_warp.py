"""The warp against functions of the plane that can be moved exactly, and its derivatives against differences."""

import math

import pytest
import torch
from torch.nn import functional as F

from sfumato.nn.warp import linear_map, warp


def plane(maps, h, w):
    """A smooth picture, taken at the places that `maps` name: with the identity the picture itself, else as it should have moved."""
    y, x = torch.meshgrid(torch.arange(h) - (h - 1) / 2, torch.arange(w) - (w - 1) / 2, indexing="ij")
    a = maps[:, :, :, None, None].double()
    right, down = (a[:, i, 0] * x + a[:, i, 1] * y + a[:, i, 2] for i in (0, 1))
    waves = [torch.cos(0.31 * right + 0.17 * down), torch.sin(0.6 * right - 0.2), torch.cos(0.5 * down + 0.3 * right)]
    return torch.stack(waves, dim=1)


def identity(n):
    return torch.eye(2, 3).expand(n, 2, 3)


@pytest.fixture
def maps():
    """Turned, stretched and moved a little, each in its own way."""
    rng = torch.Generator().manual_seed(0)
    angle, size = 6.28 * torch.rand(6, generator=rng), 0.8 + 0.4 * torch.rand(6, 2, generator=rng)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)], 1)
    return torch.cat([turn * size[:, None], 3 * torch.randn(6, 2, 1, generator=rng)], 2)


@pytest.mark.parametrize("size", [(40, 40), (33, 48)])
def test_a_smooth_picture_moves_as_the_plane_does(maps, size):
    still, expected = plane(identity(6).double(), *size), plane(maps, *size)
    warped = warp(still, maps.double())
    y, x = torch.meshgrid(torch.arange(size[0]) - (size[0] - 1) / 2, torch.arange(size[1]) - (size[1] - 1) / 2, indexing="ij")
    source = [maps[:, i, 0, None, None] * x + maps[:, i, 1, None, None] * y + maps[:, i, 2, None, None] for i in (0, 1)]
    inside = (source[0].abs() < size[1] / 2 - 4) & (source[1].abs() < size[0] / 2 - 4)
    assert inside.float().mean() > 0.3
    wrong = ((warped - expected) * inside[:, None]).abs()
    assert wrong.max() < 0.02
    assert wrong.square().mean().sqrt() < 0.005


def test_whole_pixels_are_exact_and_what_lies_outside_is_the_mirror_image():
    image = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warp(image, identity(1)), image, rtol=0, atol=1e-6)
    moved = warp(image, torch.tensor([[[1.0, 0, 2], [0, 1, -3]]]))
    wide = torch.cat([image[:, :, :3].flip(2), image], dim=2)[:, :, :9]
    wide = torch.cat([wide, wide[:, :, :, -2:].flip(3)], dim=3)[:, :, :, 2:]
    torch.testing.assert_close(moved, wide, rtol=0, atol=1e-5)
    flat = torch.full((3, 1, 7, 7), 0.3)
    torch.testing.assert_close(warp(flat, torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(1))), flat)


def test_shrinking_takes_out_what_cannot_be_held():
    """A wave of 0.4 cycles a pixel, shrunk to 1 / 1.6, would come back as one of 0.36."""
    wave = torch.cos(2 * math.pi * 0.4 * torch.arange(64)).expand(1, 1, 64, 64)
    shrink = torch.tensor([[[1.6, 0, 0], [0, 1.6, 0]]])
    grid = F.affine_grid(shrink, [1, 1, 64, 64], align_corners=False)
    plain = F.grid_sample(wave, grid, align_corners=False, padding_mode="reflection")
    middle = (..., slice(16, 48), slice(16, 48))
    assert plain[middle].std() > 0.3, "plain bilinear sampling shows a wave that is not there"
    assert warp(wave, shrink)[middle].std() < 0.1


def test_turning_keeps_fine_detail():
    """A wave of 0.3 cycles a pixel, turned by 30 degrees, keeps nine tenths of its strength."""
    wave = torch.cos(2 * math.pi * 0.3 * torch.arange(64)).expand(1, 1, 64, 64)
    turned = warp(wave, torch.tensor([[[math.cos(0.52), -math.sin(0.52), 0], [math.sin(0.52), math.cos(0.52), 0]]]))
    middle = (..., slice(16, 48), slice(16, 48))
    assert turned[middle].std() > 0.8 * wave[middle].std()


def test_its_derivatives_of_both_orders_are_right(maps):
    x = torch.rand(3, 1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: warp(x, maps[:3].double()), x)
    assert torch.autograd.gradgradcheck(lambda x: warp(x, maps[:3].double()) ** 3, x)


def test_a_map_and_its_transpose_are_each_others(maps):
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.rand(6, 3, 12, 9, generator=rng, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()
    moved = warp(x, maps.double())
    (back,) = torch.autograd.grad(moved, x, y)
    assert (moved * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-10)


def test_autocast_does_not_reach_it_in_either_direction(maps):
    x = torch.rand(6, 3, 12, 9, requires_grad=True)

    def slope():
        y = warp(x, maps)
        return y, torch.autograd.grad(y.square().sum(), x, create_graph=True)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = slope()
    for one, other in zip(half, slope(), strict=True):
        assert torch.equal(one, other)


def test_any_linear_map_can_have_its_transpose_as_derivative():
    matrix = torch.rand(3, 3, dtype=torch.float64)
    x = torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: linear_map(x, lambda y: matrix @ y, lambda y: matrix.T @ y), x)
