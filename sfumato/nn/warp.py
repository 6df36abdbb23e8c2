"""Moves each image by an affine map of its own, without aliasing, and differentiable as often as one likes.

    image ─ rows and columns at every half pixel ─ a bilinear sample where the map says ─ moved image

The half pixels are Lanczos-interpolated, so that two neighbours on a line are all that a sample needs: whole and half pixels come out
exact. Where the map shrinks, the kernel widens and takes out what the result cannot hold. What lies outside is the mirror image.

All of it is linear in the image, so its derivative is its transpose, and the derivative of that is the map again. Torch has a
derivative of its sampling, but none of the second order; `linear` needs no more than the first.
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
"""For each image, where in it a pixel of the result is taken from: source (x, y) = A @ (x, y, 1), in pixels from the middle, y down."""
LOBES = 3
WIDEST = 2
"""Maps that shrink by more than this alias a little."""


def linear(images: Maps, forward_map: Callable[[Maps], Maps], back: Callable[[Maps], Maps]) -> Maps:
    """`forward_map(images)`, for a linear map and its transpose `back`: gradients of any order go through both. Outside autocast."""
    return _Linear.apply(images, forward_map, back)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, images: Maps, forward_map: Callable[[Maps], Maps], back: Callable[[Maps], Maps]) -> Maps:
        ctx.there, ctx.back = forward_map, back
        with torch.autocast(images.device.type, enabled=False):
            return forward_map(images)

    @staticmethod
    def backward(ctx: Context, slope: Maps) -> tuple[Maps, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return linear(slope, ctx.back, ctx.there), None, None


@torch.no_grad()
def _plan(maps: Affine, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices that interpolate rows and columns of each image, and where its pixels are taken from, as `grid_sample` wants it."""
    square, area = maps[:, :, :2].square().sum(dim=(1, 2)), torch.linalg.det(maps[:, :, :2])
    shrinks = ((square + (square.square() - 4 * area.square()).clamp_min(0).sqrt()) / 2).sqrt().clamp(1, WIDEST)
    y, x = (torch.arange(side).to(maps) - (side - 1) / 2 for side in (h, w))
    columns, rows, shift = (part[:, None, None, :] for part in maps.unbind(2))
    source = columns * x[:, None] + rows * y[:, None, None] + shift
    return _halves(h, shrinks)[:, None], _halves(w, shrinks)[:, None], source / maps.new_tensor([w / 2, h / 2])


def _halves(side: int, widen: PerImage) -> Float[Tensor, "n _s _side"]:
    """Along one axis: the weights of the pixels at -1/2, 0, 1/2, ... side - 1/2, by a kernel `widen` times as wide as it could be."""
    place = torch.arange(2 * side + 1).to(widen) / 2 - 0.5
    index = place.floor().long()[:, None] + torch.arange(1 - LOBES * WIDEST, LOBES * WIDEST + 1, device=widen.device)
    apart = (index - place[:, None]) / widen[:, None, None]
    weight = torch.sinc(apart) * torch.sinc(apart / LOBES) * (apart.abs() < LOBES)
    weight = weight / weight.sum(dim=2, keepdim=True)
    return widen.new_zeros(len(widen), 2 * side + 1, side).scatter_add_(2, mirrored(index, side).expand_as(weight), weight)


def warp(images: Images, maps: Affine) -> Images:
    """Each image moved by its own of `maps`, in its own type; the derivatives are with respect to the images alone."""
    n, c, h, w = images.shape
    rows, columns, grid = _plan(maps.to(images), h, w)

    def there(x: Images) -> Images:
        return F.grid_sample(rows @ x @ columns.mT, grid, mode="bilinear", padding_mode="reflection", align_corners=True)

    def back(slope: Images) -> Images:
        like = slope.new_empty(()).expand(n, c, 2 * h + 1, 2 * w + 1)
        bilinear, reflection = 0, 2
        sampled = torch.ops.aten.grid_sampler_2d_backward(slope, like, grid, bilinear, reflection, True, (True, False))[0]
        return rows.mT @ sampled @ columns

    return linear(images, there, back)
