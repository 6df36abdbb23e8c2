"""Binomial filter [1, 3, 3, 1] / 8 along both axes: blurs maps, halves them or doubles them.

The filter is symmetric: blurring is its own adjoint, and halving is the adjoint of doubling. Gradients of any order are therefore these
operations themselves, and no gradient of the constant filter is computed.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Maps
from sfumato.nn.autograd import Context, Gradients

Pair = tuple[int, int]
_SIDE = 4


def blurred(x: Maps, padding: int, *, gain: float = 1.0) -> Maps:
    """`x` filtered and multiplied by `gain`, with `padding` zeros at each border; each side grows by 2 `padding` - 3."""
    return _Blurred.apply(x, padding, gain)


def halved(x: Maps) -> Maps:
    """`x` filtered, then every other row and column: half the size, rounded down."""
    return _Halved.apply(x)


def doubled(x: Maps) -> Maps:
    """`x` at twice the size, interpolated with the filter, in float32."""
    return 4 * _Doubled.apply(x.float(), (0, 0))


class _Blurred(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, padding: int, gain: float) -> Tensor:
        ctx.options = padding, gain
        return _filtered(x, padding, gain=gain)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        padding, gain = ctx.options
        return _Blurred.apply(gradients[0], _SIDE - 1 - padding, gain), None, None


class _Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.odd = x.shape[2] % 2, x.shape[3] % 2
        return _filtered(x, 1, stride=2)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        return _Doubled.apply(gradients[0], ctx.odd)


class _Doubled(torch.autograd.Function):
    """The adjoint of `_Halved`; `odd` is 1 where the map before halving had an odd number of rows or columns."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, odd: Pair) -> Tensor:
        if x.dtype != torch.bfloat16:
            with torch.autocast(x.device.type, enabled=False):
                taps = _taps(x)
                return F.conv_transpose2d(x, taps, stride=2, padding=1, output_padding=odd, groups=x.shape[1])
        # In bf16 on a CPU, a transposed depthwise convolution takes twenty times as long as a convolution of maps with zeros inserted.
        n, c, h, w = x.shape
        wide = x.new_zeros(n, 2 * h + 1 + odd[0], 2 * w + 1 + odd[1], c)
        wide[:, 1 : 2 * h : 2, 1 : 2 * w : 2] = x.permute(0, 2, 3, 1)
        return _filtered(wide.permute(0, 3, 1, 2), 1)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        return _Halved.apply(gradients[0]), None


def _filtered(x: Tensor, padding: int, *, gain: float = 1.0, stride: int = 1) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x, gain * _taps(x), stride=stride, padding=padding, groups=x.shape[1])


def _taps(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8
    return torch.outer(taps, taps).expand(x.shape[1], 1, _SIDE, _SIDE)
