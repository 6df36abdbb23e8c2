"""Affine warps of images, one for each image, antialiased and differentiable to any order.

    image ─ Lanczos interpolation at every half pixel ─ bilinear sampling at the mapped positions ─ warped image

After the Lanczos step, bilinear sampling needs only neighbours half a pixel apart; shifts by whole and half pixels are exact. Where a map
shrinks the image, the Lanczos kernel is widened to prevent aliasing. Borders are mirrored.

The warp is linear in the image: its derivative is its transpose, and the derivative of the transpose is the warp. torch has only a first
derivative of its sampling function; `linear_map` builds all higher ones from that.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, PerImage
from sfumato.nn.autograd import Context
from sfumato.nn.resample import mirrored

Affine = Float[Tensor, "n 2 3"]
"""For each image, the source position of each output pixel: (x, y) = A @ (x, y, 1), in pixels from the centre, y downwards."""
LOBES = 3
"""Lobes of the Lanczos kernel."""
WIDEST = 2
"""Largest factor by which the kernel is widened; maps that shrink more leave some aliasing."""


def linear_map(images: Maps, forward_map: Callable[[Maps], Maps], back: Callable[[Maps], Maps]) -> Maps:
    """`forward_map(images)` for a linear map with the transpose `back`, differentiable to any order; computed outside of autocast."""
    return _Linear.apply(images, forward_map, back)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, images: Maps, forward_map: Callable[[Maps], Maps], back: Callable[[Maps], Maps]) -> Maps:
        ctx.forward_map, ctx.back = forward_map, back
        with torch.autocast(images.device.type, enabled=False):
            return forward_map(images)

    @staticmethod
    def backward(ctx: Context, slope: Maps) -> tuple[Maps, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return linear_map(slope, ctx.back, ctx.forward_map), None, None


@torch.no_grad()
def _plan(maps: Affine, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices that interpolate rows and columns of each image at half pixels, and the sampling grid for `grid_sample`."""
    square, area = maps[:, :, :2].square().sum(dim=(1, 2)), torch.linalg.det(maps[:, :, :2])
    shrinks = ((square + (square.square() - 4 * area.square()).clamp_min(0).sqrt()) / 2).sqrt().clamp(1, WIDEST)
    y, x = (torch.arange(side).to(maps) - (side - 1) / 2 for side in (h, w))
    columns, rows, shift = (part[:, None, None, :] for part in maps.unbind(2))
    source = columns * x[:, None] + rows * y[:, None, None] + shift
    return _halves(h, shrinks)[:, None], _halves(w, shrinks)[:, None], source / maps.new_tensor([w / 2, h / 2])


def _halves(side: int, widen: PerImage) -> Float[Tensor, "n _s _side"]:
    """Along one axis: weights of the pixels for samples at -1/2, 0, 1/2, ... `side` - 1/2, with a Lanczos kernel widened by `widen`."""
    place = torch.arange(2 * side + 1).to(widen) / 2 - 0.5
    index = place.floor().long()[:, None] + torch.arange(1 - LOBES * WIDEST, LOBES * WIDEST + 1, device=widen.device)
    apart = (index - place[:, None]) / widen[:, None, None]
    weight = torch.sinc(apart) * torch.sinc(apart / LOBES) * (apart.abs() < LOBES)
    weight = weight / weight.sum(dim=2, keepdim=True)
    return widen.new_zeros(len(widen), 2 * side + 1, side).scatter_add_(2, mirrored(index, side).expand_as(weight), weight)


def warp(images: Images, maps: Affine) -> Images:
    """Each image warped by its own map in `maps`, in the dtype of the images; differentiable with respect to the images only."""
    n, c, h, w = images.shape
    rows, columns, grid = _plan(maps.to(images), h, w)

    def forward_map(x: Images) -> Images:
        return F.grid_sample(rows @ x @ columns.mT, grid, mode="bilinear", padding_mode="reflection", align_corners=True)

    def back(slope: Images) -> Images:
        like = slope.new_empty(()).expand(n, c, 2 * h + 1, 2 * w + 1)
        bilinear, reflection = 0, 2
        sampled = torch.ops.aten.grid_sampler_2d_backward(slope, like, grid, bilinear, reflection, True, (True, False))[0]
        return rows.mT @ sampled @ columns

    return linear_map(images, forward_map, back)
