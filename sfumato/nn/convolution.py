"""Convolutions whose second derivatives cost as much as their first, and convolutions fused with bias and leaky ReLU.

A convolution C(x, w), its adjoint T(g, w) (the transposed convolution, or the gradient of x) and W(x, g) (the gradient of w) are bilinear,
and the derivatives of each are the other two:

    C(x, w):  dx = T(g, w)    dw = W(x, g)
    T(g, w):  dg = C(h, w)    dw = W(h, g)        h: the gradient of the output of T
    W(x, g):  dx = T(g, v)    dg = C(x, v)        v: the gradient of the output of W

torch differentiates a gradient of w by a convolution with kernels as large as maps, and the gradient of depthwise filters channel by
channel, also where the result is not needed. Gradient penalties (R1, path length) took most of their time there.
"""

import contextlib
from collections.abc import Iterator
from typing import TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.device import fuses
from sfumato.nn.autograd import Context, Gradients

Pair = tuple[int, int]
_backward = torch.ops.aten.convolution_backward.default
_maps_only = False
_FEW = 1024
"""Positions of all maps of a batch up to which the gradient of a weight is computed as one matrix product."""


@contextlib.contextmanager
def map_gradients_only() -> Iterator[None]:
    """Inside the `with`, backward passes compute gradients of maps and skip gradients of weights.

    Gradients with respect to images or styles do not need those of weights, and torch does not tell a Python function which gradients are
    needed. A gradient that was computed inside with a graph can be differentiated outside as any other.
    """
    global _maps_only  # noqa: PLW0603 - backward may run in another thread, which has no access to a context variable
    before, _maps_only = _maps_only, True
    try:
        yield
    finally:
        _maps_only = before


def conv(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """The convolution of maps (n, c, h, w) with a weight (outputs, c, k, k), in the dtype of autocast."""
    x, weight = _cast(x, weight)
    return _Conv.apply(x, weight, stride, padding) if _tracked(x, weight) else F.conv2d(x, weight, stride=stride, padding=padding)


def transposed_conv(x: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """The adjoint of `conv` without padding: maps (n, outputs, h, w) and a weight (outputs, c, k, k) to larger maps of c channels."""
    x, weight = _cast(x, weight)
    if torch.compiler.is_exporting():  # the gradient of a convolution, which is faster here, is no operator of ONNX
        return F.conv_transpose2d(x, weight, stride=stride)
    size = (_opened(x.shape[2], weight.shape[2], stride), _opened(x.shape[3], weight.shape[3], stride))
    return _Transposed.apply(x, weight, stride, 0, size) if _tracked(x, weight) else _transposed(x, weight, stride, 0, size)


def active_conv(x: Tensor, weight: Tensor, bias: Tensor, slope: float, *, stride: int = 1, padding: int = 0) -> Tensor:
    """The convolution of `x` plus a bias for each channel, then leaky ReLU with negative slope `slope` (0 or more)."""
    x, weight, bias = _cast(x, weight, bias)
    if not _tracked(x, weight, bias):
        return _active(x, weight, bias, slope, stride, padding)
    return _ActiveConv.apply(x, weight, bias, slope, stride, padding)


def summed_conv(x: Tensor, weight: Tensor, bias: Tensor, other: Tensor, *, padding: int) -> Tensor:
    """The convolution of `x` with stride 1, plus a bias for each channel, plus `other` maps."""
    x, weight, bias = _cast(x, weight, bias)
    if other.dtype == x.dtype and _fused(x) and not _tracked(x, weight, bias, other):
        both = [padding, padding], [1, 1], [1, 1], 1
        return torch.ops.mkldnn._convolution_pointwise.binary(x, other, weight, bias, *both, "add", None, None, [], None)
    new = F.conv2d(x, weight, bias, padding=padding)
    return new.add_(other) if other.dtype == new.dtype else new + other


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (gradient,) = gradients
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not _maps_only, False
        (x, weight), (stride, padding) = ctx.saved_tensors, ctx.geometry
        return *_slopes(gradient, x, weight, stride, padding, wanted)[:2], None, None


class _ActiveConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, bias: Tensor, slope: float, stride: int, padding: int) -> Tensor:
        y = _active(x, weight, bias, slope, stride, padding)
        ctx.save_for_backward(x, weight, y)
        ctx.slope, ctx.geometry = slope, (stride, padding)
        return y

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        x, weight, y = ctx.saved_tensors
        # The output of a leaky ReLU has the sign of its input. Its derivative is constant on either side, so `y` needs no graph.
        gradient = torch.ops.aten.leaky_relu_backward(gradients[0], y.detach(), ctx.slope, True)
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        wanted = to_x, to_weight and not _maps_only, to_bias and not _maps_only
        stride, padding = ctx.geometry
        return *_slopes(gradient, x, weight, stride, padding, wanted), None, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, gradient: Tensor, weight: Tensor, stride: int, padding: int, size: Pair) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.geometry = stride, padding
        return _transposed(gradient, weight, stride, padding, size)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (h,), (gradient, weight), geometry = gradients, ctx.saved_tensors, ctx.geometry
        h = h.to(weight.dtype)
        to_gradient = _Conv.apply(h, weight, *geometry) if ctx.needs_input_grad[0] else None
        to_weight = _Weight.apply(h, gradient, *geometry, weight.shape[2:]) if ctx.needs_input_grad[1] and not _maps_only else None
        return to_gradient, to_weight, None, None, None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, gradient: Tensor, stride: int, padding: int, sides: Pair) -> Tensor:
        ctx.save_for_backward(x, gradient)
        ctx.geometry = stride, padding
        weight = _blank(x, gradient.shape[1], x.shape[1], sides)
        return cast(Tensor, _gradients(gradient, x, weight, stride, padding, (False, True, False))[1])

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (v,), (x, gradient), geometry = gradients, ctx.saved_tensors, ctx.geometry
        v = v.contiguous(memory_format=torch.channels_last)
        to_x = _Transposed.apply(gradient, v, *geometry, x.shape[2:]) if ctx.needs_input_grad[0] else None
        to_gradient = _Conv.apply(x, v, *geometry) if ctx.needs_input_grad[1] else None
        return to_x, to_gradient, None, None, None


_Slopes: TypeAlias = tuple[Tensor | None, ...]
"""The gradients of maps, weight and bias."""


def _slopes(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, needed: tuple[bool, bool, bool]) -> _Slopes:
    """The gradients of maps, weight and bias from the `gradient` of a convolution's output; None where not `needed`."""
    if not torch.is_grad_enabled():
        return _gradients(gradient, x, weight, stride, padding, needed)
    to_x = _Transposed.apply(gradient, weight, stride, padding, x.shape[2:]) if needed[0] else None
    to_weight = _Weight.apply(x, gradient, stride, padding, weight.shape[2:]) if needed[1] else None
    return to_x, to_weight, gradient.sum(dim=(0, 2, 3)) if needed[2] else None


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, needed: tuple[bool, bool, bool]) -> _Slopes:
    geometry = [stride, stride], [padding, padding], [1, 1], False, [0, 0], 1
    if not (needed[1] and _few_positions(gradient)):
        return _backward(gradient, x, weight, [len(weight)] if needed[2] else None, *geometry, list(needed))
    to_x = _backward(gradient, x, weight, None, *geometry, [True, False, False])[0] if needed[0] else None
    to_weight = _product_of_patches(gradient, x, (weight.shape[2], weight.shape[3]), stride, padding)
    return to_x, to_weight, gradient.sum(dim=(0, 2, 3)) if needed[2] else None


def _few_positions(gradient: Tensor) -> bool:
    """Whether the gradient of a weight is faster as one matrix product: for small maps in bf16 on a CPU, up to eight times."""
    n, _, h, w = gradient.shape
    return gradient.dtype == torch.bfloat16 and gradient.device.type == "cpu" and n * h * w <= _FEW


def _product_of_patches(gradient: Tensor, x: Tensor, sides: Pair, stride: int, padding: int) -> Tensor:
    """The gradient (outputs, c, *sides) of a weight: the gradients of all positions times the patches of `x` that they see."""
    (n, c, _, _), (outputs, h, w) = x.shape, gradient.shape[1:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()
    image, row, pixel, one = x.stride()
    patches = x.as_strided((n, h, w, *sides, c), (image, row * stride, pixel * stride, row, pixel, one)).reshape(n * h * w, -1)
    product = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).t() @ patches
    return product.reshape(outputs, *sides, c).permute(0, 3, 1, 2)


def _transposed(gradient: Tensor, weight: Tensor, stride: int, padding: int, size: Pair) -> Tensor:
    x = _blank(gradient, len(gradient), weight.shape[1], size)
    return cast(
        Tensor, _gradients(gradient, x, weight.contiguous(memory_format=torch.channels_last), stride, padding, (True, False, False))[0]
    )


def _active(x: Tensor, weight: Tensor, bias: Tensor, slope: float, stride: int, padding: int) -> Tensor:
    if _fused(x):
        both = [padding, padding], [stride, stride], [1, 1], 1
        return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *both, "leaky_relu", [slope], "")
    return F.leaky_relu_(F.conv2d(x, weight, bias, stride=stride, padding=padding), slope)


def _fused(x: Tensor) -> bool:
    return x.dtype in (torch.bfloat16, torch.float32) and x.device.type == "cpu" and fuses()


def _blank(like: Tensor, first: int, second: int, sides: Pair) -> Tensor:
    """An uninitialised tensor that passes a shape to `convolution_backward`; its values are not read."""
    return torch.empty(first, second, *sides, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _opened(length: int, side: int, stride: int) -> int:
    return (length - 1) * stride + side


def _cast(*tensors: Tensor) -> list[Tensor]:
    """The tensors in the dtype of autocast if autocast is on; the same tensors otherwise."""
    kind = tensors[0].device.type
    return [x.to(torch.get_autocast_dtype(kind)) for x in tensors] if torch.is_autocast_enabled(kind) else list(tensors)


def _tracked(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
