"""Where a picture has holes: how wide they are, and in which parts of the picture they lie."""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from sfumato.nn.dilation import dilated_by_disc

Plane = Bool[Tensor, "h w"]

_CELL = 32
"""Pixels a side of the squares by which holes are told apart: those in neighbouring ones belong together."""


class Window(NamedTuple):
    """A rectangle of a picture, from a row and a column on to those before the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def parts(self) -> tuple[slice, slice]:
        """What cuts it out of a plane."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def expanded(self, margin: int, size: tuple[int, int]) -> "Window":
        """The rectangle with `margin` pixels more on each side, inside a picture of this size."""
        h, w = size
        return Window(max(0, self.top - margin), max(0, self.left - margin), min(h, self.bottom + margin), min(w, self.right + margin))


def wide_parts(hole: Plane, diameter: int) -> Plane:
    """Those pixels of `hole` that lie in a disc of so many pixels across that is all hole; 1 or less is the hole itself.

    What lies outside the picture is no hindrance to a disc: there is nothing known there either.
    """
    radius = diameter / 2
    if radius < 1 or not hole.any():
        return hole
    centres = hole & ~dilated_by_disc(~hole, radius)
    return hole & dilated_by_disc(centres, radius)


def bounds(plane: Plane) -> Window:
    """The smallest rectangle around a plane in which something is."""
    rows, columns = plane.any(dim=1).nonzero()[:, 0], plane.any(dim=0).nonzero()[:, 0]
    return Window(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


class Hole(NamedTuple):
    """One hole of several: where it lies, and which pixels there are its own."""

    window: Window
    """The smallest rectangle around it."""
    plane: Plane
    """Of the size of the window."""

    def within(self, window: Window) -> Plane:
        """The hole in a larger `window`."""
        placed = torch.zeros(window.bottom - window.top, window.right - window.left, dtype=torch.bool)
        down, across = self.window.top - window.top, self.window.left - window.left
        placed[down : down + self.plane.shape[0], across : across + self.plane.shape[1]] = self.plane
        return placed


def separate(hole: Plane) -> list[Hole]:
    """The holes one by one; those that are near each other, a square of 32 pixels or less apart, are one."""
    cells = F.max_pool2d(hole[None, None].float(), _CELL, ceil_mode=True)
    labels = torch.arange(1.0, cells.numel() + 1).reshape(cells.shape) * cells
    while True:
        # The largest number of all cells that hang together; what hangs together has one in the end.
        spread = F.max_pool2d(labels, 3, 1, 1) * cells
        if torch.equal(spread, labels):
            break
        labels = spread
    return [_piece(hole, labels[0, 0] == label) for label in labels.unique() if label > 0]


def _piece(hole: Plane, cells: Bool[Tensor, "_rows _columns"]) -> Hole:
    """The part of the hole in these cells."""
    top, left, bottom, right = (_CELL * edge for edge in bounds(cells))
    inside = cells[top // _CELL : bottom // _CELL, left // _CELL : right // _CELL]
    piece = hole[top:bottom, left:right]
    mine = inside.repeat_interleave(_CELL, dim=0).repeat_interleave(_CELL, dim=1)[: piece.shape[0], : piece.shape[1]] & piece
    tight = bounds(mine)
    window = Window(top + tight.top, left + tight.left, top + tight.bottom, left + tight.right)
    return Hole(window, mine[tight.parts])
