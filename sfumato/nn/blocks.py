"""Blocks from which encoders, decoders, generators and discriminators are stacked."""

from typing import Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Vectors
from sfumato.nn.norm import BatchNorm, LayerNorm, PixelNorm

Activation = Literal["relu", "leaky-relu", "silu", "sigmoid", "tanh"]
Norm = Literal["batch", "layer", "pixel", "none"]
GROUP = 4
"""Images that a minibatch deviation compares with one another, where nothing else is said."""


def activation(name: Activation) -> nn.Module:
    """The elementwise function called `name`; leaky ReLU has slope 0.2."""
    kinds = {"relu": nn.ReLU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    return nn.LeakyReLU(0.2) if name == "leaky-relu" else kinds[name]()


def norm(name: Norm, channels: int) -> nn.Module:
    """The normalisation called `name` for maps of `channels` channels."""
    return {"batch": lambda: BatchNorm(channels), "layer": lambda: LayerNorm(channels), "pixel": PixelNorm, "none": nn.Identity}[name]()


def ladder(size: tuple[int, int], *, lowest: int = 4) -> list[tuple[int, int]]:
    """`size` and its halvings, rounded up, for as long as both sides stay at least `lowest`.

    >>> ladder((28, 28)), ladder((64, 48))
    ([(28, 28), (14, 14), (7, 7), (4, 4)], [(64, 48), (32, 24), (16, 12), (8, 6)])
    """
    sizes = [size]
    while min(half := ((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2)) >= lowest:
        sizes.append(half)
    return sizes


class Down(nn.Module):
    """Halves the size: a 4x4 convolution of stride 2, or the mean of the 2 x 2 neighbours in a 3x3 convolution, for the same work.

    A discriminator that is trained with the first looks at some places more than at others, and a generator answers with a grid of 2 and
    4 pixels. An odd side is first extended by its last row or column, so that h becomes ceil(h / 2).
    """

    def __init__(self, inputs: int, outputs: int, *, how: Literal["strided", "mean"] = "strided", bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias) if how == "strided" else HalvedConv(inputs, outputs, bias=bias)

    def forward(self, x: Images) -> Maps:
        if x.shape[2] % 2 or x.shape[3] % 2:
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
        return self.conv(x)


class Up(nn.Module):
    """Doubles the size, then cuts to `size`: one 4x4 transposed convolution, or an interpolation and a 3x3 convolution.

    The first leaves a grid of 2 and 4 pixels in what it makes, from which a short training does not recover: `nearest` costs as much
    and leaves none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        *,
        how: Literal["transposed", "nearest", "bilinear"] = "transposed",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.how = size, how
        if how == "transposed":
            self.conv: nn.Conv2d | nn.ConvTranspose2d = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
        elif how == "nearest":
            self.conv = DoubledConv(inputs, outputs, bias=bias)
        else:
            self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, x: Images) -> Maps:
        y = self.conv(F.interpolate(x, scale_factor=2, mode="bilinear") if self.how == "bilinear" else x)
        return y if y.shape[2:] == self.size else y[:, :, : self.size[0], : self.size[1]]


def doubled_conv(x: Maps, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Maps:
    """A 3x3 convolution of `x` with every pixel repeated 2 x 2 times: a transposed convolution with sums of the taps, 4 / 9 of the work."""
    # Transposed, a kernel lies the other way round.
    return F.conv_transpose2d(x, _shifted(weight.flip(2, 3)).transpose(0, 1), bias, stride=2, padding=1)


@final
class HalvedConv(nn.Conv2d):
    """The mean of 2 x 2 pixels of a 3x3 convolution, of maps with even sides: one 4x4 convolution of stride 2, 4 / 9 of the work."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Maps) -> Maps:
        return F.conv2d(input, _shifted(self.weight) / 4, self.bias, stride=2, padding=1)


@final
class DoubledConv(nn.Conv2d):
    """A 3x3 convolution of maps with every pixel repeated 2 x 2 times: see `doubled_conv`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Maps) -> Maps:
        return doubled_conv(input, self.weight, self.bias)


def _shifted(weight: torch.Tensor) -> torch.Tensor:
    """The sum of 3x3 kernels in the four corners of 4x4 ones."""
    return torch.stack([F.pad(weight, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1)]).sum(dim=0)


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), the identity at first: the last convolution starts at zero."""

    def __init__(self, channels: int, *, normalise: Norm, act: Activation) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(
            norm(normalise, channels),
            activation(act),
            nn.Conv2d(channels, channels, 3, 1, 1),
            norm(normalise, channels),
            activation(act),
            last,
        )

    def forward(self, x: Images) -> Images:
        return x + self.body(x)


class MinibatchDeviation(nn.Module):
    """One more channel: how much the images of a group of `group` neighbours differ (Karras et al. 2018, arXiv:1710.10196, section 3).

    Groups are runs of neighbours, so that processes that share a batch form the groups that one process would. The published code takes
    every (n / group)-th image instead; of images in random order it is all one. A `group` of 0 is the whole batch.
    """

    def __init__(self, group: int = GROUP) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Images) -> Maps:
        n, c, h, w = x.shape
        group = self.group if self.group and n % self.group == 0 else n
        y = x.float().reshape(n // group, group, c, h, w)
        spread = ((y - y.mean(dim=1, keepdim=True)).square().mean(dim=1) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        plane = spread.repeat_interleave(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)
        # In the memory order of the maps, which the next convolution likes best.
        plane = plane.to(x.dtype).contiguous(memory_format=torch.channels_last)
        return torch.cat([x, plane], dim=1)


def through(stages: nn.Sequential, x: Maps, feature_maps: list[Maps] | None = None) -> Maps:
    """What `stages` make of `x`; what each `Up` makes goes into `feature_maps`, if there is one."""
    for stage in stages:
        x = stage(x)
        if feature_maps is not None and isinstance(stage, Up):
            feature_maps.append(x)
    return x


class LabelEmbedding(nn.Module):
    """A learned vector of unit mean square for each class."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, dim)

    def forward(self, labels: torch.Tensor) -> Vectors:
        return PixelNorm()(self.table(labels))
