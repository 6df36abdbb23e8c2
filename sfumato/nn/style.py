"""Layers of the style-based generators: convolutions whose every channel a style weighs, and their resampling.

Weights are drawn from N(0, 1) and scaled when used, so that one step size suits all ("equalised", Karras et al. 2018,
https://arxiv.org/abs/1710.10196, section 4.1). Leaky ReLUs have slope 0.2 and are followed by sqrt(2), which keeps the variance.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.tensors import Maps, Vectors
from sfumato.nn.binomial import blurred, halved
from sfumato.nn.blocks import doubled_conv
from sfumato.nn.convolution import active_conv, conv, transposed_conv

GAIN = math.sqrt(2)
SLOPE = 0.2
_EPS = 1e-8


class Dense(nn.Module):
    """x W / sqrt(inputs) + b, then leaky ReLU and sqrt(2) if `active`. Its weights move `rate` times as fast as others."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0, active: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate, self.active = rate, active

    def forward(self, x: Vectors) -> Float[Tensor, "n _outputs"]:
        # In full precision: it is little work, and what comes out multiplies whole maps.
        with torch.autocast(x.device.type, enabled=False):
            scale = self.rate / math.sqrt(self.weight.shape[1])
            y = F.linear(x.float(), self.weight * scale, self.bias * self.rate)
            return F.leaky_relu(y, SLOPE) * GAIN if self.active else y


class Conv(nn.Module):
    """Convolution with equalised weights and, if `active`, bias and leaky ReLU; halves the size if `down`.

    Behind a blur, that is; a kernel of side 4 does without one, for layers that are to see every pixel themselves.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int, *, down: bool = False, active: bool = True, gain: float = 1.0, clamp: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.down, self.gain, self.clamp = down, gain, clamp

    def forward(self, x: Maps) -> Maps:
        weight = self.weight * (self.gain * (GAIN if self.bias is not None else 1.0) / math.sqrt(self.weight[0].numel()))
        side = self.weight.shape[2]
        stride, padding = 1, side // 2
        if self.down and side == 1:
            x = halved(x)
        elif self.down and side == 4:
            stride, padding = 2, 1
        elif self.down:
            x, stride, padding = blurred(x, 2), 2, 0
        if self.bias is None:
            return conv(x, weight, stride=stride, padding=padding)
        # sqrt(2) is in the weights already: a leaky ReLU keeps positive factors.
        y = active_conv(x, weight, self.bias * (self.gain * GAIN), SLOPE, stride=stride, padding=padding)
        return y.clamp(-self.clamp * self.gain, self.clamp * self.gain) if self.clamp else y


class StyledConv(nn.Module):
    """3x3 convolution steered by a style, with noise if `noisy`, bias and leaky ReLU; doubles the size first if `up`.

    With zeros between the pixels and a blur after the convolution, that is, or by `nearest` neighbours and no blur: a layer that is the
    only one of its size must be able to draw every pixel.

    `modulate` scales the weights of each input channel by the style, then those of each output channel to unit length (Karras et al.
    2020, https://arxiv.org/abs/1912.04958, section 2.2), computed on the maps before and after one convolution for the whole batch.
    `adain` normalises each output channel over the image and gives it the style's mean and deviation (Karras et al. 2019,
    https://arxiv.org/abs/1812.04948, eq. 1).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style_dim: int,
        size: tuple[int, int],
        *,
        up: bool = False,
        how: Literal["modulate", "adain"] = "modulate",
        gain: float = 1.0,
        clamp: float = 0.0,
        noisy: bool = True,
        nearest: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noisy, self.nearest = noisy, nearest
        if noisy:
            self.strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise", torch.randn(size))
        self.affine = Dense(style_dim, inputs if how == "modulate" else 2 * outputs, bias=1.0)
        if how == "adain":
            self.affine.bias.data[outputs:] = 0
        self.up, self.how, self.gain, self.clamp, self.size = up, how, gain, clamp, size

    def forward(self, x: Maps, style: Vectors, noise: Maps | None = None) -> Maps:
        s = self.affine(style)
        grain = self._noise(x, noise) * self.strength if self.noisy else x.new_zeros(())
        if self.how == "adain":
            y = self._convolved(x, self.weight / math.sqrt(self.weight[0].numel()))
            y = F.leaky_relu(y + grain.to(y.dtype) + self.bias.to(y.dtype)[:, None, None], SLOPE) * GAIN
            scale, mean = (s * self.gain).chunk(2, dim=1)
            y = F.instance_norm(y.float(), eps=_EPS) * planes(scale) + planes(mean)
            return y.clamp(-self.clamp * self.gain, self.clamp * self.gain) if self.clamp else y
        length = (s.square() @ self.weight.square().sum(dim=(2, 3)).T + _EPS).rsqrt()
        y = self._convolved(x * planes(s).to(x.dtype), self.weight)
        # sqrt(2) goes in before the leaky ReLU, which keeps positive factors.
        factor = GAIN * self.gain
        y = torch.addcmul((grain * factor).to(y.dtype), y, planes(length * factor).to(y.dtype))
        y = F.leaky_relu_(y.add_((self.bias * factor).to(y.dtype)[:, None, None]), SLOPE)
        return y.clamp(-self.clamp * self.gain, self.clamp * self.gain) if self.clamp else y

    def _convolved(self, x: Maps, weight: Tensor) -> Maps:
        if not self.up:
            return conv(x, weight, padding=1)
        if self.nearest:
            return doubled_conv(x, weight)[:, :, : self.size[0], : self.size[1]]
        y = blurred(transposed_conv(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
        return y[:, :, : self.size[0], : self.size[1]]

    def _noise(self, x: Maps, noise: Maps | None) -> Tensor:
        if noise is not None:
            return noise
        still: Tensor = self.get_buffer("noise")
        return torch.randn(len(x), 1, *self.size, device=x.device) if self.training else still


class ToImage(nn.Module):
    """1x1 convolution to the image's channels, its inputs weighed by a style; not normalised."""

    def __init__(self, inputs: int, channels: int, style_dim: int, *, clamp: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = Dense(style_dim, inputs, bias=1.0)
        self.clamp = clamp

    def forward(self, x: Maps, style: Vectors) -> Maps:
        s = self.affine(style) / math.sqrt(self.weight.shape[1])
        y = conv(x * planes(s).to(x.dtype), self.weight).float() + self.bias[:, None, None]
        return y.clamp(-self.clamp, self.clamp) if self.clamp else y


def unit(x: Vectors) -> Vectors:
    """`x` with a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + _EPS).rsqrt()


def planes(x: Vectors) -> Maps:
    """A plane of one value for each number."""
    return x[:, :, None, None]
