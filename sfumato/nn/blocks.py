"""Building blocks of encoders, decoders, generators and discriminators."""

from typing import Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Vectors
from sfumato.nn.fused import Shortcut
from sfumato.nn.norm import BatchNorm, LayerNorm, PixelNorm

Activation = Literal["relu", "leaky-relu", "silu", "sigmoid", "tanh"]
Norm = Literal["batch", "layer", "pixel", "none"]
GROUP = 4
"""Images in one group of a minibatch standard deviation, by default."""


def activation(name: Activation) -> nn.Module:
    """A new module of the activation function called `name`; leaky ReLU has slope 0.2."""
    kinds = {"relu": nn.ReLU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    return nn.LeakyReLU(0.2) if name == "leaky-relu" else kinds[name]()


def norm(name: Norm, channels: int) -> nn.Module:
    """A new module of the normalisation called `name`, for maps of `channels` channels."""
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


def signed(images: Images) -> Images:
    """`images` from [0, 1] scaled to [-1, 1], in channels_last memory format, as input of a convolutional network."""
    return (images * 2 - 1).contiguous(memory_format=torch.channels_last)


def even_sides(x: Maps) -> Maps:
    """`x` with an odd height or width extended by its last row or column."""
    h, w = x.shape[2:]
    return F.pad(x, (0, w % 2, 0, h % 2), mode="replicate") if h % 2 or w % 2 else x


class Down(nn.Module):
    """Halves the size by a 4x4 convolution of stride 2 (`strided`), or by a 3x3 convolution and the mean of 2 x 2 pixels (`mean`).

    Both cost the same. A discriminator with `strided` weighs some positions more than others, and its generator learns a grid of 2 and
    4 pixels. An odd side is first extended by its last row or column, so that h becomes ceil(h / 2).
    """

    def __init__(self, inputs: int, outputs: int, *, method: Literal["strided", "mean"] = "strided", bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias) if method == "strided" else HalvedConv(inputs, outputs, bias=bias)

    def forward(self, x: Images) -> Maps:
        return self.conv(even_sides(x))


class Up(nn.Module):
    """Doubles the size and cuts to `size`: by a 4x4 transposed convolution, or by an interpolation and a 3x3 convolution.

    The transposed convolution leaves a grid of 2 and 4 pixels, from which a short training does not recover; `nearest` costs as much
    and leaves no grid.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        *,
        method: Literal["transposed", "nearest", "bilinear"] = "transposed",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.method = size, method
        if method == "transposed":
            self.conv: nn.Conv2d | nn.ConvTranspose2d = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
        elif method == "nearest":
            self.conv = DoubledConv(inputs, outputs, bias=bias)
        else:
            self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, x: Images) -> Maps:
        y = self.conv(F.interpolate(x, scale_factor=2, mode="bilinear") if self.method == "bilinear" else x)
        return y if y.shape[2:] == self.size else y[:, :, : self.size[0], : self.size[1]]


def doubled_conv(x: Maps, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Maps:
    """A 3x3 convolution of `x` enlarged twice by nearest neighbours, computed as one transposed convolution: 4 / 9 of the work."""
    # A transposed convolution flips the kernel.
    return F.conv_transpose2d(x, _shifted(weight.flip(2, 3)).transpose(0, 1), bias, stride=2, padding=1)


@final
class HalvedConv(nn.Conv2d):
    """A 3x3 convolution and the mean of 2 x 2 pixels, computed as one 4x4 convolution: 4 / 9 of the work. Sides must be even."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Maps) -> Maps:
        return F.conv2d(input, _shifted(self.weight) / 4, self.bias, stride=2, padding=1)


@final
class DoubledConv(nn.Conv2d):
    """A 3x3 convolution of maps enlarged twice by nearest neighbours, computed by `doubled_conv`."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, 1, 1, bias=bias)

    def forward(self, input: Maps) -> Maps:
        return doubled_conv(input, self.weight, self.bias)


def _shifted(weight: torch.Tensor) -> torch.Tensor:
    """4x4 kernels: the sum of the 3x3 kernels placed in each of the four corners."""
    return torch.stack([F.pad(weight, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1)]).sum(dim=0)


class Residual(Shortcut):
    """Residual block x + conv(act(norm(conv(act(norm(x)))))). The weights of the last convolution start at zero."""

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


class MinibatchDeviation(nn.Module):
    """Adds a channel: the standard deviation over the images of a group (Karras et al. 2018, arXiv:1710.10196, section 3).

    A group is `group` consecutive images of the batch, so that processes which share a batch form the groups that one process would; 0 is
    the whole batch. The published code takes every (n / group)-th image instead, which is equivalent for images in random order.
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
        # channels_last as the maps are: the next convolution is fastest with that memory format.
        plane = plane.to(x.dtype).contiguous(memory_format=torch.channels_last)
        return torch.cat([x, plane], dim=1)


def run_stages(stages: nn.Sequential, x: Maps, feature_maps: list[Maps] | None = None) -> Maps:
    """The output of `stages` for `x`. The output of each `Up` stage is appended to `feature_maps`, if a list is passed."""
    for stage in stages:
        x = stage(x)
        if feature_maps is not None and isinstance(stage, Up):
            feature_maps.append(x)
    return x


class LabelEmbedding(nn.Module):
    """Looks up a learned vector of unit mean square for each label."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, dim)

    def forward(self, labels: torch.Tensor) -> Vectors:
        return PixelNorm()(self.table(labels))
