"""Layers of style-based generators: convolutions modulated by styles, with their resampling.

Weights are drawn from N(0, 1) and scaled at use ("equalised learning rate", Karras et al. 2018, https://arxiv.org/abs/1710.10196,
section 4.1), so that one learning rate suits all layers. Leaky ReLUs have slope 0.2 and a gain of sqrt(2), which keeps the variance.
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
    """Fully connected layer x W / sqrt(inputs) + b, followed by leaky ReLU and sqrt(2) if `active`.

    `rate` multiplies the learning rate of the weights and bias; `bias` is the initial value of the bias.
    """

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0, active: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate, self.active = rate, active

    def forward(self, x: Vectors) -> Float[Tensor, "n _outputs"]:
        # Full precision: the work is small, and errors of a style would multiply whole maps.
        with torch.autocast(x.device.type, enabled=False):
            scale = self.rate / math.sqrt(self.weight.shape[1])
            y = F.linear(x.float(), self.weight * scale, self.bias * self.rate)
            return F.leaky_relu(y, SLOPE) * GAIN if self.active else y


class Conv(nn.Module):
    """Convolution with equalised weights, followed by bias and leaky ReLU if `active`; halves the size if `down`.

    Before halving, maps are blurred, except for kernels of side 4, whose layers read the pixels unfiltered. Outputs are multiplied by
    `gain` and, with bias, clamped to `clamp` times `gain` if `clamp` is not 0.
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
        # The weights contain sqrt(2) already: positive factors commute with a leaky ReLU.
        y = active_conv(x, weight, self.bias * (self.gain * GAIN), SLOPE, stride=stride, padding=padding)
        return y.clamp(-self.clamp * self.gain, self.clamp * self.gain) if self.clamp else y


class StyledConv(nn.Module):
    """3x3 convolution modulated by a style, followed by noise if `noisy`, bias and leaky ReLU; doubles the size first if `up`.

    Doubling inserts zeros between the pixels and blurs after the convolution, or repeats `nearest` neighbours without a blur, for layers
    that alone draw all details of their size. `size` is height and width of the output.

    `modulation`: `modulate` scales the weights of each input channel by the style, then those of each output channel to unit length
    (Karras et al. 2020, https://arxiv.org/abs/1912.04958, section 2.2), computed as scales of the maps before and after one convolution of
    the whole batch. `adain` normalises each output channel over the image and sets its mean and standard deviation by the style (Karras
    et al. 2019, https://arxiv.org/abs/1812.04948, eq. 1).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style_dim: int,
        size: tuple[int, int],
        *,
        up: bool = False,
        modulation: Literal["modulate", "adain"] = "modulate",
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
        self.affine = Dense(style_dim, inputs if modulation == "modulate" else 2 * outputs, bias=1.0)
        if modulation == "adain":
            self.affine.bias.data[outputs:] = 0
        self.up, self.modulation, self.gain, self.clamp, self.size = up, modulation, gain, clamp, size

    def forward(self, x: Maps, style: Vectors, noise: Maps | None = None) -> Maps:
        s = self.affine(style)
        grain = self._noise(x, noise) * self.strength if self.noisy else x.new_zeros(())
        if self.modulation == "adain":
            y = self._convolved(x, self.weight / math.sqrt(self.weight[0].numel()))
            y = F.leaky_relu(y + grain.to(y.dtype) + self.bias.to(y.dtype)[:, None, None], SLOPE) * GAIN
            scale, mean = (s * self.gain).chunk(2, dim=1)
            y = F.instance_norm(y.float(), eps=_EPS) * as_planes(scale) + as_planes(mean)
            return y.clamp(-self.clamp * self.gain, self.clamp * self.gain) if self.clamp else y
        length = (s.square() @ self.weight.square().sum(dim=(2, 3)).T + _EPS).rsqrt()
        y = self._convolved(x * as_planes(s).to(x.dtype), self.weight)
        # sqrt(2) is applied before the leaky ReLU: positive factors commute with it.
        factor = GAIN * self.gain
        y = torch.addcmul((grain * factor).to(y.dtype), y, as_planes(length * factor).to(y.dtype))
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
    """1x1 convolution to the channels of the image, with input channels scaled by a style and weights not normalised."""

    def __init__(self, inputs: int, channels: int, style_dim: int, *, clamp: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = Dense(style_dim, inputs, bias=1.0)
        self.clamp = clamp

    def forward(self, x: Maps, style: Vectors) -> Maps:
        s = self.affine(style) / math.sqrt(self.weight.shape[1])
        y = conv(x * as_planes(s).to(x.dtype), self.weight).float() + self.bias[:, None, None]
        return y.clamp(-self.clamp, self.clamp) if self.clamp else y


def unit_mean_square(x: Vectors) -> Vectors:
    """Each vector of `x` scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + _EPS).rsqrt()


def as_planes(x: Vectors) -> Maps:
    """Vectors (n, d) as maps (n, d, 1, 1)."""
    return x[:, :, None, None]
