"""The layers of any network, seen through hooks while it runs, and how much of an image each of them sees.

What a place of a map depends on is asked of the network itself: a pixel that is not a number makes every place not a number that it
counts for, through convolutions, poolings, normalisations and activations of any make.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeGuard

import torch
from torch import Tensor, nn

from sfumato.core.tensors import Images, Maps
from sfumato.nn.autograd import Context

Seen = tuple[int, int, int | None]
"""Stride, field and start, as `branches.Sight` has them; no start where it is not known."""

Run = Callable[[Images], object]
"""Runs a network on images; what comes out at its end does not matter."""


class _EnoughError(Exception):
    """All that was asked for has been seen: the rest of the network need not run."""


def layer_outputs(network: nn.Module, run: Run, images: Images, names: Sequence[str]) -> list[Maps]:
    """The maps that the modules called `names` make of `images`. What lies behind the last of them is not computed.

    Raises KeyError for a module that makes none.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, made: object) -> None:
        if name not in found and _is_map(made):
            # What runs on may work in place.
            found[name] = made if len(found) + 1 == len(set(names)) else made.clone()
        if len(found) == len(set(names)):
            raise _EnoughError

    with _hooked(network, names, keep), suppress(_EnoughError):
        run(images)
    return [found[name] for name in names]


@torch.no_grad()
def visible(network: nn.Module, run: Run, images: Images) -> dict[str, Maps]:
    """Every module that makes maps of `images`, in the order in which they do, with these."""
    found: dict[str, Tensor] = {}

    def keep(name: str, made: object) -> None:
        if _is_map(made) and min(made.shape[2:]) > 1:
            found.setdefault(name, made)

    with _hooked(network, [name for name, _ in network.named_modules() if name], keep):
        run(images)
    return found


@torch.no_grad()
def sights(network: nn.Module, run: Run, images: Images, names: Sequence[str]) -> dict[str, Seen]:
    """What a place of each layer sees, found with a square of the size of `images`.

    A layer that sees all of it has a field of twice its side and no start: how far it would look in a larger image is not known.
    """
    known: dict[tuple[int, bool], dict[str, bool]] = {}
    plain, side = torch.zeros_like(images), images.shape[3]
    shapes = {name: made.shape for name, made in zip(names, layer_outputs(network, run, plain, names), strict=True)}
    # How many more places there are in a wider image does not depend on what is lost at its borders.
    wide = layer_outputs(network, run, torch.cat([plain, plain], dim=3), names)
    more = {name: made.shape[3] - shapes[name][3] for name, made in zip(names, wide, strict=True)}

    def spoilt(count: int, *, left_side: bool) -> dict[str, bool]:
        """Of each layer whether the first or the last `count` columns of the image count for the place in its middle."""
        if (count, left_side) not in known:
            images = plain.clone()
            (images[..., :count] if left_side else images[..., side - count :]).fill_(float("nan"))
            made = zip(names, layer_outputs(network, run, images, names), strict=True)
            known[count, left_side] = {name: bool(maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].isnan().any()) for name, maps in made}
        return known[count, left_side]

    found = {}
    for name in names:
        # The fewest columns from either end that reach the place in the middle.
        ends = [_least(side, lambda count, left=left, name=name: spoilt(count, left_side=left)[name]) for left in (True, False)]
        first, last = ends[0] - 1, side - ends[1]
        across = shapes[name][3]
        stride = max(1, round(side / more[name])) if more[name] > 0 else max(1, side // across)
        whole = first <= 0 or last >= side - 1
        found[name] = (stride, 2 * side, None) if whole else (stride, last - first + 1, first - across // 2 * stride)
    return found


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest number in [1, most] that is enough."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


@contextmanager
def _hooked(network: nn.Module, names: Sequence[str], keep: Callable[[str, object], None]) -> Iterator[None]:
    def hook(name: str) -> Callable[..., None]:
        return lambda module, given, made: keep(name, made)

    hooks = [network.get_submodule(name).register_forward_hook(hook(name)) for name in dict.fromkeys(names)]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _is_map(output: object) -> TypeGuard[Tensor]:
    return isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point()


@contextmanager
def awake(network: nn.Module, last: int) -> Iterator[list[int]]:
    """Inside, a slope that wants to raise what one of the `last` ReLUs silenced goes through it, as if it had not.

    Where nothing speaks nothing has a slope, and a search could not begin. Of more ReLUs than need be the slope would be further from the
    true one. Yields a list of one number, how many have run. After Lucid's "redirected" ReLU; those that work in place are left alone.
    """
    ran = [0]

    def hook(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor | None:
        ran[0] += 1
        return _Redirected.apply(given[0], ran, last) if made.requires_grad else None

    hooks = [module.register_forward_hook(hook) for module in network.modules() if isinstance(module, nn.ReLU) and not module.inplace]
    try:
        yield ran
    finally:
        for each in hooks:
            each.remove()


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, ran: list[int], last: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ran, ctx.number, ctx.last = ran, ran[0], last
        return x.relu()

    @staticmethod
    def backward(ctx: Context, slope: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        passes = x > 0 if ctx.ran[0] - ctx.number >= ctx.last else (x > 0) | (slope > 0)
        return torch.where(passes, slope, torch.zeros_like(slope)), None, None
