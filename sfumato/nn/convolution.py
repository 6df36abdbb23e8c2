"""Convolutions whose second derivatives cost what their first ones do, with bias and leaky ReLU in the same pass over memory.

A convolution C(x, w), its adjoint T(g, w) (the transposed convolution, or the gradient of x) and W(x, g) (the gradient of w) are bilinear,
and the derivatives of each are the other two:

    C(x, w):  dx = T(g, w)    dw = W(x, g)
    T(g, w):  dg = C(h, w)    dw = W(h, g)        h: the gradient of what T gave
    W(x, g):  dx = T(g, v)    dg = C(x, v)        v: the gradient of what W gave

torch differentiates a gradient of w by a convolution with kernels as large as maps, and that of depthwise filters channel by channel,
also where nobody wants it; penalties on slopes (R1, path length) took most of their time there.
"""

import contextlib
import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.device import fuses
from sfumato.nn.autograd import Context, Gradients

Network = TypeVar("Network", bound=nn.Module)
Pair = tuple[int, int]
_backward = torch.ops.aten.convolution_backward.default
_maps_only = False


@contextlib.contextmanager
def map_gradients_only() -> Iterator[None]:
    """Gradients taken inside are those of maps and not of weights, which a slope of images or styles does without.

    torch does not tell a function of Python which of its gradients are wanted; they would be computed and thrown away. A gradient with
    a graph can be differentiated outside as any other.
    """
    global _maps_only  # noqa: PLW0603 - backward may run in a thread of its own, which sees no context variable
    before, _maps_only = _maps_only, True
    try:
        yield
    finally:
        _maps_only = before


def conv(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """The convolution of maps (n, c, h, w) with a weight (outputs, c, k, k), in bf16 under autocast."""
    x, weight = _cast(x, weight)
    return _Conv.apply(x, weight, stride, padding) if _tracked(x, weight) else F.conv2d(x, weight, stride=stride, padding=padding)


def transposed_conv(x: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Its adjoint, from maps of `outputs` channels to larger ones of c, for the same weight (outputs, c, k, k), without padding."""
    x, weight = _cast(x, weight)
    size = (_opened(x.shape[2], weight.shape[2], stride), _opened(x.shape[3], weight.shape[3], stride))
    return _Transposed.apply(x, weight, stride, 0, size) if _tracked(x, weight) else _transposed(x, weight, stride, 0, size)


def active_conv(x: Tensor, weight: Tensor, bias: Tensor, slope: float, *, stride: int = 1, padding: int = 0) -> Tensor:
    """The leaky ReLU of a convolution with a bias for each channel; `slope` is 0 or more."""
    x, weight, bias = _cast(x, weight, bias)
    if not _tracked(x, weight, bias):
        return _active(x, weight, bias, slope, stride, padding)
    return _ActiveConv.apply(x, weight, bias, slope, stride, padding)


class ActiveConv(nn.Module):
    """A convolution and the ReLU after it, for networks at work: one pass over memory in bf16 on a processor."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.layer.weight, self.layer.bias
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        return active_conv(x, weight, bias, 0.0, stride=self.layer.stride[0], padding=int(self.layer.padding[0]))


def fused(network: Network) -> Network:
    """`network`, or a copy in which every ReLU that follows a convolution is part of it: the same, in less time.

    For networks at work only, whose layers nobody watches.
    """
    pairs = [(at, names) for at, module in enumerate(network.modules()) if isinstance(module, nn.Sequential) for names in _followed(module)]
    if network.training or not pairs:
        return network
    network = copy.deepcopy(network)
    modules = list(network.modules())
    for at, (name, after) in pairs:
        layer = modules[at].get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        setattr(modules[at], name, ActiveConv(layer))
        setattr(modules[at], after, nn.Identity())
    return network


def _followed(sequence: nn.Sequential) -> list[tuple[str, str]]:
    """The names of each plain convolution and of the ReLU after it."""
    layers = [(name, layer) for name, layer in sequence.named_children() if not isinstance(layer, nn.Identity)]
    return [(name, after) for (name, layer), (after, act) in pairwise(layers) if isinstance(act, nn.ReLU) and _plain(layer)]


def _plain(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    return layer.dilation == (1, 1) and len(set(layer.stride)) == 1 and len(set(layer.padding)) == 1


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (gradient,) = gradients
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not _maps_only, False
        (x, weight), (stride, padding) = ctx.saved_tensors, ctx.how
        return *_slopes(gradient, x, weight, stride, padding, wanted)[:2], None, None


class _ActiveConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, bias: Tensor, slope: float, stride: int, padding: int) -> Tensor:
        y = _active(x, weight, bias, slope, stride, padding)
        ctx.save_for_backward(x, weight, y)
        ctx.slope, ctx.how = slope, (stride, padding)
        return y

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        x, weight, y = ctx.saved_tensors
        # Where the result is positive, what went in was; that border has no slope of its own.
        gradient = torch.ops.aten.leaky_relu_backward(gradients[0], y.detach(), ctx.slope, True)
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        wanted = to_x, to_weight and not _maps_only, to_bias and not _maps_only
        stride, padding = ctx.how
        return *_slopes(gradient, x, weight, stride, padding, wanted), None, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, gradient: Tensor, weight: Tensor, stride: int, padding: int, size: Pair) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.how = stride, padding
        return _transposed(gradient, weight, stride, padding, size)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (h,), (gradient, weight), how = gradients, ctx.saved_tensors, ctx.how
        h = h.to(weight.dtype)
        to_gradient = _Conv.apply(h, weight, *how) if ctx.needs_input_grad[0] else None
        to_weight = _Weight.apply(h, gradient, *how, weight.shape[2:]) if ctx.needs_input_grad[1] and not _maps_only else None
        return to_gradient, to_weight, None, None, None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, gradient: Tensor, stride: int, padding: int, sides: Pair) -> Tensor:
        ctx.save_for_backward(x, gradient)
        ctx.how = stride, padding
        weight = _blank(x, gradient.shape[1], x.shape[1], sides)
        return cast(Tensor, _gradients(gradient, x, weight, stride, padding, (False, True, False))[1])

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (v,), (x, gradient), how = gradients, ctx.saved_tensors, ctx.how
        v = v.contiguous(memory_format=torch.channels_last)
        to_x = _Transposed.apply(gradient, v, *how, x.shape[2:]) if ctx.needs_input_grad[0] else None
        to_gradient = _Conv.apply(x, v, *how) if ctx.needs_input_grad[1] else None
        return to_x, to_gradient, None, None, None


_Slopes: TypeAlias = tuple[Tensor | None, ...]
"""The gradients of maps, weight and bias."""


def _slopes(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, needed: tuple[bool, bool, bool]) -> _Slopes:
    """The gradients of maps, weight and bias from that of a convolution's result; None where not `needed`."""
    if not torch.is_grad_enabled():
        return _gradients(gradient, x, weight, stride, padding, needed)
    to_x = _Transposed.apply(gradient, weight, stride, padding, x.shape[2:]) if needed[0] else None
    to_weight = _Weight.apply(x, gradient, stride, padding, weight.shape[2:]) if needed[1] else None
    return to_x, to_weight, gradient.sum(dim=(0, 2, 3)) if needed[2] else None


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, needed: tuple[bool, bool, bool]) -> _Slopes:
    how = [stride, stride], [padding, padding], [1, 1], False, [0, 0], 1
    return _backward(gradient, x, weight, [len(weight)] if needed[2] else None, *how, list(needed))


def _transposed(gradient: Tensor, weight: Tensor, stride: int, padding: int, size: Pair) -> Tensor:
    x = _blank(gradient, len(gradient), weight.shape[1], size)
    return cast(
        Tensor, _gradients(gradient, x, weight.contiguous(memory_format=torch.channels_last), stride, padding, (True, False, False))[0]
    )


def _active(x: Tensor, weight: Tensor, bias: Tensor, slope: float, stride: int, padding: int) -> Tensor:
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and fuses():
        both = [padding, padding], [stride, stride], [1, 1], 1
        return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *both, "leaky_relu", [slope], "")
    return F.leaky_relu_(F.conv2d(x, weight, bias, stride=stride, padding=padding), slope)


def _blank(like: Tensor, first: int, second: int, sides: Pair) -> Tensor:
    """A tensor whose shape alone counts."""
    return torch.empty(first, second, *sides, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _opened(length: int, side: int, stride: int) -> int:
    return (length - 1) * stride + side


def _cast(*tensors: Tensor) -> list[Tensor]:
    """In the type that autocast asks for, if it is on; the same tensors otherwise."""
    kind = tensors[0].device.type
    return [x.to(torch.get_autocast_dtype(kind)) for x in tensors] if torch.is_autocast_enabled(kind) else list(tensors)


def _tracked(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
