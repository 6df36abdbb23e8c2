"""Outputs and receptive fields of the layers of any network, read through forward hooks.

Receptive fields are measured: a NaN pixel makes every position NaN that depends on the pixel, through convolutions, poolings,
normalisations and activations of every kind.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeGuard

import torch
from torch import Tensor, nn

from sfumato.core.tensors import Images, Maps
from sfumato.nn.autograd import Context

LayerGeometry = tuple[int, int, int | None]
"""Stride, field and start as in `branches.ReceptiveField`; start is None if the field is wider than the image it was measured with."""

Run = Callable[[Images], object]
"""Runs a network on images; the result is ignored."""


class _EnoughError(Exception):
    """Ends a forward pass once every requested output has been read."""


def layer_outputs(network: nn.Module, run: Run, images: Images, names: Sequence[str]) -> list[Maps]:
    """The output maps of the modules called `names` for `images`, in that order. Later modules of the network are not run.

    Raises KeyError for a module that has no maps as output.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        if name not in outputs and _is_map(output):
            # Later modules may change the tensor in place, so that all outputs but the last are copied.
            outputs[name] = output if len(outputs) + 1 == len(set(names)) else output.clone()
        if len(outputs) == len(set(names)):
            raise _EnoughError

    with _hooked(network, names, keep), suppress(_EnoughError):
        run(images)
    return [outputs[name] for name in names]


@torch.no_grad()
def spatial_outputs(network: nn.Module, run: Run, images: Images) -> dict[str, Maps]:
    """Name to output of every module whose output for `images` is maps of more than one pixel a side, in the order of their calls."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        if _is_map(output) and min(output.shape[2:]) > 1:
            outputs.setdefault(name, output)

    with _hooked(network, [name for name, _ in network.named_modules() if name], keep):
        run(images)
    return outputs


@torch.no_grad()
def last_independent_layer(network: nn.Module, run: Run, image: Images) -> str:
    """The last module with maps whose output for `image`, (1, c, h, w), stays the same whatever image is beside it in the batch.

    A layer that compares the images of a batch, such as the minibatch standard deviation, and all layers behind it, do not count. Raises
    KeyError for a network without such a layer.
    """
    dark, bright = (spatial_outputs(network, run, torch.cat([image, torch.full_like(image, level)])) for level in (0.0, 1.0))
    alike = [name for name, maps in dark.items() if torch.allclose(maps[0].float(), bright[name][0].float(), rtol=1e-3, atol=1e-5)]
    if not alike:
        raise KeyError("no layer of this network describes an image alone")
    return alike[-1]


@torch.no_grad()
def receptive_fields(network: nn.Module, run: Run, images: Images, names: Sequence[str]) -> dict[str, LayerGeometry]:
    """Name to stride, field and start of each layer called in `names`, measured on square images of the shape of `images`.

    A layer whose field covers the whole image has a field of twice the image's side and no start, because the true extent is unknown.
    """
    cache: dict[tuple[int, bool], dict[str, bool]] = {}
    plain, side = torch.zeros_like(images), images.shape[3]
    shapes = {name: maps.shape for name, maps in zip(names, layer_outputs(network, run, plain, names), strict=True)}
    # The number of positions that a wider image adds is independent of the positions lost at its borders.
    wide = layer_outputs(network, run, torch.cat([plain, plain], dim=3), names)
    added = {name: maps.shape[3] - shapes[name][3] for name, maps in zip(names, wide, strict=True)}

    def reaches_middle(count: int, *, left_side: bool) -> dict[str, bool]:
        """For each layer, whether its middle position depends on the first (`left_side`) or last `count` columns of the image."""
        if (count, left_side) not in cache:
            images = plain.clone()
            (images[..., :count] if left_side else images[..., side - count :]).fill_(float("nan"))
            outputs = layer_outputs(network, run, images, names)
            middles = [maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2] for maps in outputs]
            cache[count, left_side] = {name: bool(middle.isnan().any()) for name, middle in zip(names, middles, strict=True)}
        return cache[count, left_side]

    geometry = {}
    for name in names:
        # The smallest numbers of columns, from the left and from the right, that reach the middle position.
        ends = [_least(side, lambda count, left=left, name=name: reaches_middle(count, left_side=left)[name]) for left in (True, False)]
        first, last = ends[0] - 1, side - ends[1]
        across = shapes[name][3]
        stride = max(1, round(side / added[name])) if added[name] > 0 else max(1, side // across)
        whole = first <= 0 or last >= side - 1
        geometry[name] = (stride, 2 * side, None) if whole else (stride, last - first + 1, first - across // 2 * stride)
    return geometry


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest number in [1, `most`] for which `enough` is true, by bisection."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


@contextmanager
def _hooked(network: nn.Module, names: Sequence[str], keep: Callable[[str, object], None]) -> Iterator[None]:
    def hook(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: keep(name, output)

    hooks = [network.get_submodule(name).register_forward_hook(hook(name)) for name in dict.fromkeys(names)]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _is_map(output: object) -> TypeGuard[Tensor]:
    return isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point()


@contextmanager
def redirected_relus(network: nn.Module, last: int) -> Iterator[list[int]]:
    """Inside the `with`, positive gradients pass through the `last` ReLUs of the network where their inputs are negative.

    Without this, an objective has no gradient where all activations are zero, and an optimisation cannot start. The more ReLUs are
    redirected, the more the gradient differs from the true one. Yields a list of one number: ReLUs run so far. In-place ReLUs are left
    unchanged. After the "redirected ReLU" of Lucid (https://github.com/tensorflow/lucid).
    """
    calls = [0]

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        calls[0] += 1
        return _Redirected.apply(inputs[0], calls, last) if output.requires_grad else None

    hooks = [module.register_forward_hook(hook) for module in network.modules() if isinstance(module, nn.ReLU) and not module.inplace]
    try:
        yield calls
    finally:
        for each in hooks:
            each.remove()


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, calls: list[int], last: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.calls, ctx.number, ctx.last = calls, calls[0], last
        return x.relu()

    @staticmethod
    def backward(ctx: Context, slope: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        passes = x > 0 if ctx.calls[0] - ctx.number >= ctx.last else (x > 0) | (slope > 0)
        return torch.where(passes, slope, torch.zeros_like(slope)), None, None
