"""Cosine transforms: of a few numbers, and of all overlapping squares of images.

Squares of 16 x 16 pixels begin at every fourth row and column. Each pixel lies in sixteen of them, also at the border, where the image is
continued by its mirror image.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sfumato.core.tensors import Maps
from sfumato.nn.resample import mirrored

SIDE, STRIDE = 16, 4
"""Side of the squares, and from one to the next, in pixels."""
_BEFORE = SIDE - STRIDE
"""Rows and columns before the image at which the first square begins."""

Coefficients = Float[Tensor, "n c rows columns 16 16"]
"""The transform of each square of each image: channel, place of the square, vertical and horizontal frequency."""
Powers = Float[Tensor, "c 16 16"]
"""A mean square for each channel and frequency of a square."""


def cosine_matrix(length: int) -> Float64[Tensor, "{length} {length}"]:
    """The orthonormal discrete cosine transform of `length` numbers, as a matrix (DCT-II; Ahmed, Natarajan & Rao 1974)."""
    k, x = torch.arange(length, dtype=torch.float64)[:, None], torch.arange(length, dtype=torch.float64)
    scale = torch.where(k == 0, math.sqrt(1 / length), math.sqrt(2 / length))
    return torch.cos(math.pi * (2 * x + 1) * k / (2 * length)) * scale


def square_transform(images: Maps) -> Coefficients:
    """The cosine transform of all squares of `images`, over their rows, columns and channels."""
    x = torch.einsum("dc,nchw->ndhw", cosine_matrix(images.shape[1]).to(images), images)
    for axis in (2, 3):
        length = x.shape[axis]
        index = mirrored(torch.arange(-_BEFORE, length + _BEFORE + -length % STRIDE), length)
        x = x.index_select(axis, index.to(x.device))
    matrix = cosine_matrix(SIDE).to(images)
    vertical = x.unfold(2, SIDE, STRIDE) @ matrix.T  # n c rows width u
    return (vertical.unfold(3, SIDE, STRIDE) @ matrix.T).contiguous()  # the windows of the columns come last: n c rows columns u v


def from_squares(coefficients: Coefficients, size: tuple[int, int]) -> Maps:
    """Images of this `size` (height, width) whose squares, weighted towards their middle and added, have these coefficients.

    It inverts `square_transform`; of coefficients that no image has, each pixel is the weighted mean over its squares.
    """
    matrix = (cosine_matrix(SIDE) * _window()).to(coefficients)
    across = _added(coefficients @ matrix, columns=3)  # n c rows u width
    down = _added(across.movedim(3, 4) @ matrix, columns=2)  # n c width height
    x = down.mT[:, :, _BEFORE : _BEFORE + size[0], _BEFORE : _BEFORE + size[1]]
    return torch.einsum("dc,ndhw->nchw", cosine_matrix(x.shape[1]).to(x), x)


def _window() -> Float[Tensor, "16"]:
    """A Kaiser window, scaled so that those of overlapping squares add up to 1."""
    window = torch.kaiser_window(SIDE, periodic=False, beta=2.0)
    return window / window.reshape(-1, STRIDE).sum(dim=0).repeat(SIDE // STRIDE)


def _added(parts: Tensor, *, columns: int) -> Tensor:
    """Windows of 16 numbers in the last dimension, added where they overlap; dimension `columns` counts them and is dropped."""
    x = parts.movedim(columns, -2).unflatten(-1, (SIDE // STRIDE, STRIDE))  # ... windows, pieces, numbers
    total = x.new_zeros(*x.shape[:-3], x.shape[-3] + SIDE // STRIDE - 1, STRIDE)
    for i in range(SIDE // STRIDE):
        total[..., i : i + x.shape[-3], :] += x[..., i, :]
    return total.flatten(-2)
