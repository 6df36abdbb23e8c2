"""Receptive radius of networks that look at windows on a grid.

A pixel of the output depends on a span of rows (and on the same span of columns). Each layer, from the last to the first, widens the span:
a convolution by its radius to both sides, attention in windows to the borders of the windows that the span touches. The span therefore
depends on where the pixel lies on the grid; the radius is the greatest over one period of the grid.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""First and last pixel."""
Step: TypeAlias = Callable[[Span], Span]
"""Maps a span of the output of a layer to the span of its input."""


def conv(radius: int) -> Step:
    """The step of a convolution with kernels of 2 `radius` + 1 pixels."""
    return lambda span: (span[0] - radius, span[1] + radius)


def windows(side: int, shift: int) -> Step:
    """The step of attention in windows of `side` pixels, the first of which begins at pixel `shift`.

    >>> windows(8, 0)((3, 3)), windows(8, 4)((3, 3))
    ((0, 7), (-4, 3))
    """
    return lambda span: ((span[0] - shift) // side * side + shift, (span[1] - shift) // side * side + shift + side - 1)


def enlarged(factor: int) -> Step:
    """The step of a layer whose output is `factor` times as large as its input."""
    return lambda span: (span[0] // factor, span[1] // factor)


def shrunk(factor: int) -> Step:
    """The step of a layer whose output is `factor` times as small as its input, without overlap."""
    return lambda span: (span[0] * factor, span[1] * factor + factor - 1)


def radius(steps: Iterable[Step], *, period: int, scale: int = 1) -> int:
    """The receptive radius, in pixels of the input, of layers whose steps are given from the first to the last.

    `period` is the number of pixels of the input after which the grid repeats, `scale` the size of the output over that of the input.

    >>> radius([conv(1), windows(8, 0), windows(8, 4)], period=8)
    12
    """
    backwards = list(steps)[::-1]
    widest = 0
    for place in range(period * scale):
        span = (place, place)
        for step in backwards:
            span = step(span)
        widest = max(widest, place // scale - span[0], span[1] - place // scale)
    return widest
