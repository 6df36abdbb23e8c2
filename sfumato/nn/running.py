"""Sums, greatest values and the like over windows at every place, by doubling: a window of 7 is one of 4, one of 2 and one of 1."""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

_Windows = Shaped[Tensor, "n c _h _w"]
Join = Callable[[Tensor, Tensor], Tensor]
"""An associative operation on two tensors of one shape, such as `torch.add` and `torch.maximum`."""


def running(x: Shaped[Tensor, "n c h w"], side: int, axis: int, join: Join = torch.add) -> _Windows:
    """Each `side` neighbours along `axis` joined: an axis of n values becomes one of n - side + 1.

    >>> running(torch.arange(5.0).reshape(1, 1, 1, 5), 3, 3).tolist()
    [[[[3.0, 6.0, 9.0]]]]
    """
    length, parts, size, done = x.shape[axis] - side + 1, list[Tensor](), 1, 0
    while size <= side:
        if side & size:
            parts.append(x.narrow(axis, done, length))
            done += size
        if 2 * size <= side:
            x = join(x.narrow(axis, 0, x.shape[axis] - size), x.narrow(axis, size, x.shape[axis] - size))
        size *= 2
    return functools.reduce(join, parts)


def over_rectangles(x: Shaped[Tensor, "n c h w"], tall: int, wide: int, join: Join = torch.add) -> _Windows:
    """The values of each rectangle of `tall` x `wide` joined."""
    return running(running(x, tall, 2, join), wide, 3, join)
