"""The bilateral filter: a mean of neighbours that look alike, which keeps edges."""

import torch
from torch import Tensor

from sfumato.core.tensors import Images

RADIUS = 3
"""Greatest distance in pixels of two values that are averaged."""


@torch.no_grad()
def bilateral(images: Images, *, colour: float, space: float = 2.5) -> Images:
    """Weighted means over discs of 7 pixels across, in the range of the values, all channels together.

    Tomasi & Manduchi 1998 (https://doi.org/10.1109/ICCV.1998.710815): the weight of a neighbour is a Gaussian of its distance, of standard
    deviation `space` in pixels, times one of the mean absolute difference of its channels, of `colour` as a share of full scale.
    """
    total, weights = images.clone(), torch.ones_like(images[:, :1])
    for down, across in _half_disc():
        here, there = _pair(images, down, across)
        difference = (here - there).abs().mean(dim=1, keepdim=True)
        nearness = -(down**2 + across**2) / (2 * space**2)
        weight = difference.square_().mul_(-1 / (2 * colour**2)).add_(nearness).exp_()
        # Each pair of pixels is met once: what one adds to the other, the other adds to it.
        for into, other, sums in zip(_pair(total, down, across), (there, here), _pair(weights, down, across), strict=True):
            into.addcmul_(weight.expand_as(other), other)
            sums.add_(weight)
    return total / weights


def _half_disc() -> list[tuple[int, int]]:
    """Rows and columns from a pixel to those that follow it in the disc."""
    near = [(down, across) for down in range(RADIUS + 1) for across in range(-RADIUS, RADIUS + 1)]
    return [(down, across) for down, across in near if down**2 + across**2 <= RADIUS**2 and (down, across) > (0, 0)]


def _pair(plane: Tensor, down: int, across: int) -> tuple[Tensor, Tensor]:
    """The parts of a plane that lie over each other if it is moved by so many rows and columns."""
    h, w = plane.shape[2:]
    rows, columns = max(0, h - down), max(0, w - abs(across))
    left, right = max(0, -across), max(0, across)
    here = plane[:, :, :rows, left : left + columns]
    return here, plane[:, :, h - rows :, right : right + columns]
