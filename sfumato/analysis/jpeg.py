"""Whether a picture has been a JPEG, and its quality: from the tables in the file, or from the pixels.

JPEG rounds the discrete cosine transform of 8 x 8 pixels to multiples of the entries of a table. Saved as PNG, the picture still has
coefficients near multiples of the same table (Fan & de Queiroz 2003, https://doi.org/10.1109/TIP.2002.807361), and libjpeg has a table
for every quality from 1 to 100.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images
from sfumato.nn.channels import luma
from sfumato.nn.cosine import cosine_matrix

# Rows of ITU-T T.81, table K.1: the luminance table that libjpeg scales.
_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_BLOCKS = 600
"""Most blocks that are examined."""
_CORNER = 5
"""Coefficients count whose row plus column is less: higher frequencies are mostly rounded to 0."""
_ROUNDING = (0.4, 0.8, 2.0)
"""Standard deviations of changes after the JPEG, /255: rounding to bytes, conversion of colours, a little noise."""
_STRAY = 0.05
"""Share of coefficients that were changed otherwise, such as by clipping."""
_LIVELY, _SEVERAL = 0.01, 4
"""At least so large a share of coefficients must exceed rounding, at so many frequencies or more: a ramp has one or two, all alike."""
_SURE = 0.1
"""Least log-likelihood ratio for each block, rounded against never rounded, at which there is a grid."""


class Grid(NamedTuple):
    """Traces of a JPEG in pixels: its quality and the place of its blocks."""

    quality: int
    """Quality by libjpeg's scale, 1 to 100."""
    offset: tuple[int, int]
    """Row and column of the first pixel that begins a block."""


def tables_quality(tables: Sequence[Sequence[int]]) -> int:
    """The libjpeg quality, 1 to 100, whose luminance table is nearest to the first of `tables`, in rows; exact for what libjpeg wrote.

    Raises ImageError if there is no table, or the first has not 64 entries.
    """
    if not tables or len(tables[0]) != 64:
        raise ImageError(f"{len(tables[0]) if tables else 'no'} entries are not a quantisation table; a JPEG has 64 in each")
    off = (luminance_tables() - torch.tensor(tables[0], dtype=torch.float32).reshape(8, 8)).abs().sum(dim=(1, 2))
    return 100 - int(off.flip(0).argmin())  # the highest of several: at high qualities tables repeat


@torch.no_grad()
def grid(crops: Images) -> Grid | None:
    """The grid of a JPEG in `crops` of one picture, whose corners are a multiple of 8 pixels apart; None if there is no trace of one.

    Above a quality of about 95 there is no trace.
    """
    if min(crops.shape[2:]) < 24:
        return None
    grey = luma(crops)[:, 0]
    places = {(0, 0), (_phase(grey, 1), _phase(grey, 2))}
    best = max((_best(grey, place) for place in sorted(places)), key=lambda some: some[0])
    return Grid(best[1], best[2]) if best[0] > _SURE else None


def _phase(grey: Float[Tensor, "n h w"], dim: int) -> int:
    """The place along an axis, modulo 8, at which jumps are largest compared with those beside them."""
    step = grey.diff(dim=dim).abs()
    inner = step.shape[dim] - 2
    jump = step.narrow(dim, 1, inner) - (step.narrow(dim, 0, inner) + step.narrow(dim, 2, inner)) / 2
    line = jump.clamp(-0.1, 0.1).mean(dim=(0, 3 - dim))
    line = line[: len(line) // 8 * 8].reshape(-1, 8).mean(dim=0)
    return int(line.argmax() + 2) % 8


def _best(grey: Float[Tensor, "n h w"], offset: tuple[int, int]) -> tuple[float, int, tuple[int, int]]:
    """The likeliest quality for a grid at this offset, with its log-likelihood for each block."""
    blocks = grey[:, offset[0] :, offset[1] :].unfold(1, 8, 8).unfold(2, 8, 8).reshape(-1, 8, 8)
    # Coefficients of clipped blocks are no multiples any more.
    blocks = blocks[(blocks.amin(dim=(1, 2)) > 0.5 / 255) & (blocks.amax(dim=(1, 2)) < 1 - 0.5 / 255)]
    if len(blocks) < 4:
        return -math.inf, 100, offset
    # Blocks without texture are 0 after any rounding: those with the largest variance hold most evidence.
    blocks = blocks[blocks.var(dim=(1, 2)).argsort(descending=True)[:_BLOCKS]] * 255
    cosine = cosine_matrix(8).float()
    row, column = _places()
    numbers = (cosine @ blocks @ cosine.T)[:, row, column]
    if ((numbers.abs() > _ROUNDING[-1]).float().mean(dim=0) > _LIVELY).sum() < _SEVERAL:
        return -math.inf, 100, offset
    scores = _likelihoods(numbers)
    best = scores.amax(dim=0)
    # The middle one of several: in this corner of the table neighbouring qualities can be alike.
    alike = (best == best.max()).nonzero()[:, 0]
    return best.max().item() / len(blocks), int(alike[len(alike) // 2]) + 1, offset


def _likelihoods(numbers: Float[Tensor, "m p"]) -> Float[Tensor, "_spreads 100"]:
    """For each `_ROUNDING` and each quality: log-likelihood ratio of `numbers` as multiples of its steps, against any numbers.

    A number at 0 is a multiple of every step and counts for none; a number near 0 but not at 0 counts against.
    """
    place, steps, which = _steps()
    x, step = numbers.T[place], steps[:, None]
    off = (x - step * (x / step).round()).square_()
    beyond = (x.abs() > step / 2).float()
    scores = []
    for spread in _ROUNDING:
        near = (off / (-2 * spread**2)).clamp_min_(-80).exp_()  # smaller numbers vanish beside _STRAY, and are slow to compute with
        peak = (step / (spread * math.sqrt(2 * math.pi))).clamp_min(1)
        each = (beyond * (peak - 1)).add_(1).mul_(near).mul_(1 - _STRAY).add_(_STRAY).log_()
        scores.append(each.sum(dim=1)[which].sum(dim=1))
    return torch.stack(scores)


@functools.cache
def _places() -> tuple[Int[Tensor, " _p"], Int[Tensor, " _p"]]:
    """Row and column of the coefficients that count."""
    row, column = torch.tensor([(i, j) for i in range(8) for j in range(8) if 0 < i + j < _CORNER]).T
    return row, column


@functools.cache
def _steps() -> tuple[Int[Tensor, " _s"], Float[Tensor, " _s"], Int[Tensor, "100 _p"]]:
    """The distinct pairs of a place and a step in all tables: the places, the steps, and the number of the pair of each quality and place.

    At low and at high qualities tables repeat.
    """
    row, column = _places()
    steps = luminance_tables()[:, row, column]
    place = torch.arange(len(row)).expand_as(steps)
    pairs, which = torch.stack([place.flatten(), steps.flatten()], dim=1).unique(dim=0, return_inverse=True)
    return pairs[:, 0].long(), pairs[:, 1], which.reshape(steps.shape)


@functools.cache
def luminance_tables() -> Float[Tensor, "100 8 8"]:
    """The luminance table of libjpeg at qualities 1 to 100 (jcparam.c: `jpeg_quality_scaling`, `jpeg_add_quant_table`)."""
    quality = torch.arange(1, 101)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((torch.tensor(_TABLE) * percent[:, None, None] + 50) // 100).clamp(1, 255).float()


def coarseness(quality: int) -> float:
    """Standard deviation, as a share of full scale, of the rounding error of a JPEG of this quality at the low frequencies."""
    return luminance_tables()[quality - 1, :3, :3].mean().item() / math.sqrt(12) / 255
