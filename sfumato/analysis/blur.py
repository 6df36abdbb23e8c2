"""How blurred a picture is, from its strongest edges.

One more blur flattens a sharp edge much more than a soft one: a step that was blurred with sigma s has the slope 1 / sqrt(s^2 + a^2)
after a blur with sigma a (Zhuo & Sim 2011, https://doi.org/10.1016/j.patcog.2011.03.009), so the slopes after two such blurs determine s.
A moving camera softens only the edges across its path, so edges are grouped by direction.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images
from sfumato.nn.blurs import Blur
from sfumato.nn.resample import mirror

_LEAST = 30
"""Fewest edges for an estimate."""
_WEAKEST = 0.01
"""Least slope of an edge per pixel, as a share of full scale."""
_RAYS, _IN_RAY, _FEW = 8, 20, 5
"""Number of directions; fewest edges with which a direction counts; fewest such directions for an estimate by direction."""
_ASIDE, _IN_PART = 22.5, 10
"""Greatest angle in degrees between the path of a motion and an edge's slope that is softened by it; fewest such edges."""
_SOFTER = 0.35
"""Least difference between the squared sigmas of edges across and along the path of a motion, as a share of the motion's: for true motion
it is 0.44 at least."""
_STRONGEST, _FIFTH, _ROWS = 0.02, 0.2, 512
"""Share of the edges that counts as the strongest, and the share of these that counts as the sharpest; rows of a picture that are looked at
together, for the sake of memory."""
_THIN = 1.1
"""Correction: edges of photographs look sharper than steps by this factor, since some are thin lines (measured on BSD68)."""


@torch.no_grad()
def blur_level(crops: Images, *, noise: float) -> float | None:
    """Sigma in pixels of the Gaussian blur that would make a sharp photograph equally soft, in its softest direction; 0 if it is sharp.

    `noise` is the standard deviation of the noise as a share of full scale. With more noise the crops are smoothed more, only stronger
    edges count, and the estimate becomes smaller than the truth. None if there are too few edges.
    """
    edges = _edges(crops, noise)
    if edges is None:
        return None
    rays = (edges.turns / math.pi * _RAYS).round().long() % _RAYS
    return _significant(_most(edges.squares, edges.strengths, rays))


@torch.no_grad()
def moved(crops: Images, motion: Blur, *, noise: float) -> bool:
    """Whether the edges across the path of a `motion` are softer than those along it, by what such a motion does to them.

    In a picture with edges of one direction only, the spectrum is like that of a motion along the edges: nothing there can show a motion.
    """
    edges = _edges(crops, noise)
    if edges is None:
        return False
    away = (torch.rad2deg(edges.turns) - motion.angle + 90) % 180 - 90
    soft, sharp = (_of_part(edges, part) for part in (away.abs() < _ASIDE, away.abs() > 90 - _ASIDE))
    return soft is not None and soft - (sharp or 0.0) >= _SOFTER * motion.sigma**2


@torch.no_grad()
def sharpest(images: Images, spread: Blur, *, noise: float) -> float | None:
    """Sigma in pixels of the blur of the sharpest strong edges of a whole picture, or of those across a motion; None of a few edges.

    A blur softens every edge. Before a background that is out of focus, the edges of the subject are few, and among the strongest: the
    sharpest fifth of these is asked, for a petal out of focus can be as strong.
    """
    parts = [edges for rows in images.split(_ROWS, dim=2) if (edges := _edges(rows, noise)) is not None]
    if not parts:
        return None
    squares, strengths, turns = (torch.cat(each) for each in zip(*parts, strict=True))
    if spread.kind == "motion":
        across = ((torch.rad2deg(turns) - spread.angle + 90) % 180 - 90).abs() < _ASIDE
        squares, strengths = squares[across], strengths[across]
    count = max(_IN_PART, round(_STRONGEST * len(strengths)))
    return _sigma(squares[strengths.topk(count).indices].quantile(_FIFTH).item()) if len(strengths) >= count else None


class _Edges(NamedTuple):
    """The edges of a picture."""

    squares: Float[Tensor, " _m"]
    """Squared sigma in pixels of the blur of each edge."""
    strengths: Float[Tensor, " _m"]
    """Slope of each edge for each pixel, as a share of full scale."""
    turns: Float[Tensor, " _m"]
    """Angle in radians across each edge."""


def _edges(crops: Images, noise: float) -> _Edges | None:
    """The edges that are stronger than the `noise`; None if there are too few of them."""
    grey = crops.mean(dim=1, keepdim=True)
    if min(grey.shape[2:]) < 16:
        return None
    fine = 1.0 + 12 * noise
    coarse = 2 * fine
    one, two = (_slope(grey, sigma) for sigma in (fine, coarse))
    deviation = noise / math.sqrt(8 * math.pi) / fine**2  # of the slope in one direction, after the fine blur
    edges = _ridges(one) & (one[2] > max(_WEAKEST, 6 * deviation))
    strengths = one[2][edges]
    if len(strengths) < _LEAST:
        return None
    ratio = (strengths / two[2][edges].clamp_min(1e-6)).clamp(1.001, coarse / fine)
    squares = (coarse**2 - ratio.square() * fine**2) / (ratio.square() - 1)
    return _Edges(squares, strengths, torch.atan2(one[0][edges], one[1][edges]))


def _of_part(edges: _Edges, part: Bool[Tensor, " _m"]) -> float | None:
    """Squared sigma of the blur of some of the edges; None of a few."""
    return max(0.0, _strong(edges.squares[part], edges.strengths[part])) if part.sum() >= _IN_PART else None


def _significant(square: float) -> float:
    """The sigma with this square, corrected, or 0 if it is too small for a blur."""
    return sigma if (sigma := _sigma(square)) >= 0.5 else 0.0


def _sigma(square: float) -> float:
    return _THIN * math.sqrt(max(0.0, square))


def _most(squares: Float[Tensor, "m"], strengths: Float[Tensor, "m"], rays: Int[Tensor, "m"]) -> float:
    """The largest median of `squares` over all directions, of an ellipse that is fitted to the medians; only stronger edges count."""
    there = [ray for ray in range(_RAYS) if (rays == ray).sum() >= _IN_RAY]
    if len(there) < _FEW:
        return _strong(squares, strengths)
    medians = torch.tensor([_strong(squares[rays == ray], strengths[rays == ray]) for ray in there])
    turns = torch.tensor(there) * (2 * math.pi / _RAYS)
    mean, a, b = torch.linalg.lstsq(torch.stack([torch.ones_like(turns), turns.cos(), turns.sin()], dim=1), medians[:, None]).solution
    return (mean + (a.square() + b.square()).sqrt()).item()


def _strong(squares: Float[Tensor, "m"], strengths: Float[Tensor, "m"]) -> float:
    """The median of `squares` over the stronger half of the edges."""
    return squares[strengths >= strengths.median()].median().item()


Slope = tuple[Float[Tensor, "n 1 h w"], Float[Tensor, "n 1 h w"], Float[Tensor, "n 1 h w"]]


def _slope(grey: Images, sigma: float) -> Slope:
    """Derivatives downwards and to the right, and their length, after a Gaussian blur; 0 on the border."""
    smooth = _smoothed(grey, sigma)
    down, right = torch.zeros_like(smooth), torch.zeros_like(smooth)
    down[:, :, 1:-1] = (smooth[:, :, 2:] - smooth[:, :, :-2]) / 2
    right[:, :, :, 1:-1] = (smooth[:, :, :, 2:] - smooth[:, :, :, :-2]) / 2
    return down, right, (down.square() + right.square()).sqrt()


def _smoothed(grey: Images, sigma: float) -> Images:
    """A Gaussian blur, along one axis after the other; borders are mirrored."""
    reach = math.ceil(3 * sigma)
    weights = torch.exp(-(torch.arange(-reach, reach + 1.0) / sigma).square() / 2)
    weights /= weights.sum()
    return F.conv2d(F.conv2d(mirror(grey, reach), weights[None, None, :, None]), weights[None, None, None])


def _ridges(slope: Slope) -> Bool[Tensor, "n 1 h w"]:
    """Where the slope is largest along its main axis, 4 pixels or more from the border."""
    down, right, length = slope
    best = torch.zeros_like(length, dtype=torch.bool)
    for dim, this, other in ((2, down, right), (3, right, down)):
        before, after = length.roll(1, dim), length.roll(-1, dim)
        best |= (this.abs() >= other.abs()) & (length >= before) & (length > after)
    inside = torch.zeros_like(best)
    inside[:, :, 4:-4, 4:-4] = True
    return best & inside
