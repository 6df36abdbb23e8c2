"""Masks with every marked place enlarged, by a square or by a disc."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def dilated_by_square(mask: Float[Tensor, "n c h w"], reach: int) -> Float[Tensor, "n c h w"]:
    """For each pixel the largest value of `mask` within `reach` rows and columns of it.

    >>> dilated_by_square(torch.tensor([[[[0.0, 0, 0, 1]]]]), 1).tolist()
    [[[[0.0, 0.0, 1.0, 1.0]]]]
    """
    if not reach:
        return mask
    # Rows and columns one after the other: 2 * (2 * reach + 1) comparisons a pixel and not their square.
    wide = F.max_pool2d(mask, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(wide, (2 * reach + 1, 1), 1, (reach, 0))


def dilated_by_disc(plane: Bool[Tensor, "h w"], radius: float) -> Bool[Tensor, "h w"]:
    """All pixels whose centres are nearer than `radius` to that of one of the `plane`."""
    h, w = plane.shape
    counts = F.pad(plane.to(torch.int32).cumsum(dim=1), (1, 0))
    grown, columns = torch.zeros_like(plane), torch.arange(w)
    reach = min(h, int(radius))
    for shift in range(-reach, reach + 1):
        across = radius**2 - shift**2
        if across <= 0:
            continue
        half = int(across**0.5) if int(across**0.5) ** 2 < across else int(across**0.5) - 1
        near = counts[:, (columns + half + 1).clamp(max=w)] > counts[:, (columns - half).clamp(min=0)]
        top, bottom = max(0, -shift), min(h, h - shift)
        grown[top:bottom] |= near[top + shift : bottom + shift]
    return grown
