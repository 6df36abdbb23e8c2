"""Colour filter arrays: the one colour that each photosite of a sensor measures, and the two others guessed from its neighbours.

All is linear and batched. The pattern is Bayer's, RGGB; a `phase` of (1, 0) means that the picture begins one row further down.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images

Kind = Literal["bilinear", "gradient"]

_GREEN = [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
_ALONG = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
_ACROSS = [list(row) for row in zip(*_ALONG, strict=True)]
_OPPOSITE = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
_GRADIENT = torch.tensor([_GREEN, _ALONG, _ACROSS, _OPPOSITE])[:, None] / 8
"""Filters of Malvar, He and Cutler: green at red and blue; red or blue at green with its neighbours left and right, then above and below;
red at blue and blue at red."""

_CROSS = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]])[None, None] / 4
_SQUARE = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 4

SMALLEST = 4
"""Pixels that each side of a picture needs, so that all three colours are measured somewhere near."""


def colour_masks(size: tuple[int, int], phase: Int[Tensor, "n 2"]) -> Float[Tensor, "n 3 _h _w"]:
    """1 where a pixel of a picture of `size` (height, width) measures red, green or blue, else 0."""
    down = (torch.arange(size[0], device=phase.device) + phase[:, :1]) % 2
    right = (torch.arange(size[1], device=phase.device) + phase[:, 1:]) % 2
    row, column = down[:, :, None].bool(), right[:, None, :].bool()
    return torch.stack([~row & ~column, row ^ column, row & column], dim=1).float()


def demosaic(raw: Float[Tensor, "n 1 h w"], phase: Int[Tensor, "n 2"], kind: Kind) -> Float[Tensor, "n 3 h w"]:
    """All three colours of each pixel, from the one that was measured there.

    "bilinear" takes means of the nearest samples of a colour; "gradient" corrects them by the curvature of the colour that was measured
    (Malvar, He and Cutler 2004, https://doi.org/10.1109/ICASSP.2004.1326587). Both sides must be at least `SMALLEST` pixels.
    """
    size = (raw.shape[2], raw.shape[3])
    masks = colour_masks(size, phase)
    if kind == "bilinear":
        red, green, blue = (_mirrored(raw * mask, 1) for mask in masks.split(1, dim=1))
        square, cross = _SQUARE.to(raw), _CROSS.to(raw)
        return torch.cat([F.conv2d(red, square), F.conv2d(green, cross), F.conv2d(blue, square)], dim=1)
    green, along, across, opposite = F.conv2d(_mirrored(raw, 2), _GRADIENT.to(raw)).split(1, dim=1)
    is_red, is_green, is_blue = masks.bool().split(1, dim=1)
    row_of_red = ((torch.arange(size[0], device=raw.device) + phase[:, :1]) % 2 == 0)[:, None, :, None]
    red_at_green, blue_at_green = torch.where(row_of_red, along, across), torch.where(row_of_red, across, along)
    return torch.cat(
        [
            torch.where(is_red, raw, torch.where(is_green, red_at_green, opposite)),
            torch.where(is_green, raw, green),
            torch.where(is_blue, raw, torch.where(is_green, blue_at_green, opposite)),
        ],
        dim=1,
    )


def _mirrored(images: Images, reach: int) -> Float[Tensor, "n c _h _w"]:
    """`images` continued by their mirror image without repeating the border, so that the pattern of colours goes on."""
    return F.pad(images, (reach,) * 4, mode="reflect")
