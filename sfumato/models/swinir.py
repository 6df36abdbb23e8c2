"""SwinIR: restoration by transformers in shifted windows (Liang et al. 2021, https://arxiv.org/abs/2108.10257).

    images - mean ─ head ─┬─ norm ─ [group] ─ norm ─ last ─ + ─ upsampler ─ + mean ─ clean
                          └─────────────────────────────────┘
    group: x ─┬─ [block in windows, block in windows moved by half] ─ last ─ + ─ y
              └─────────────────────────────────────────────────────────────┘

upsampler  shuffle   convolution, [convolution, pixel shuffle], convolution: for classical super-resolution
           direct    convolution, pixel shuffle: for small networks
           nearest   convolution, [nearest neighbours, convolution], two convolutions: for photographs as they come
           at the same size: convolution, and the image is added: for noise and JPEG

All windows lie on one grid, so that tiles agree with the whole image.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn import reach
from sfumato.nn.windows import WindowBlock

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean of red, green and blue over the pictures of DIV2K."""
_FEATURES = 64
"""Channels of the maps at the larger sizes."""
_FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


@settings
class Config:
    """Settings of a SwinIR."""

    id = "swinir"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    head_width: Annotated[int, Range(1, 1024, "channels")] = 30
    """Channels of each head of the attention; the hidden maps have as many times the heads."""
    heads: Annotated[int, Range(1, 64, "heads")] = 6
    """Heads of the attention."""
    blocks: Annotated[tuple[int, ...], Range(1, 64, "blocks")] = (6, 6, 6, 6, 6, 6)
    """Transformer blocks of each group."""
    hidden: Annotated[int, Range(1, 8192, "channels")] = 360
    """Channels between the two linear layers of a block."""
    window: Annotated[int, Range(2, 64, "pixels a side")] = 8
    """Side of the windows."""
    convolutions: Literal[1, 3] = 1
    """Convolutions at the end of each group; three take a quarter of the channels in between."""
    upsampler: Literal["shuffle", "direct", "nearest"] = "shuffle"
    """How a larger image is made from the features; of no effect at the same size."""
    scale: Literal[1, 2, 3, 4, 8] = 1
    """Enlargement of height and width."""
    white: Literal[1, 255] = 1
    """Value of white inside the network; 255 in the authors' networks for JPEG."""

    def check(self) -> None:
        if not self.blocks:
            raise SettingError("swinir: blocks is empty; give the number of blocks of each group, such as 6,6,6,6")
        if self.upsampler == "nearest" and self.scale in (3, 8):
            raise SettingError(f"swinir: upsampler = nearest enlarges 2 or 4 times, not {self.scale}")

    def build(self) -> "SwinIr":
        return SwinIr(self)


@final
class SwinIr(Restorer):
    """Restoration network of transformer blocks in shifted windows."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, config.scale, config.window
        self.conditioning: tuple[Plane, ...] = ()
        self.white, self.upsampler, self.factors = config.white, config.upsampler, _FACTORS[config.scale]
        width = config.head_width * config.heads
        self.head = nn.Conv2d(config.channels, width, 3, 1, 1)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.groups = nn.ModuleList([Group(config, width, count) for count in config.blocks])
        self.last = _last(width, config.convolutions)
        self.before, self.ups, self.after = _upsampler(config, width, self.factors)
        self.tail = nn.Conv2d(_FEATURES if len(self.before) else width, _tail_outputs(config), 3, 1, 1)
        self.receptive_radius = _receptive_radius(config, self.factors)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        mean = degraded.new_tensor(MEAN)[:, None, None] if self.channels == 3 else 0.0
        images = (degraded - mean) * self.white
        first = self.head(images.contiguous(memory_format=torch.channels_last))
        x = self.norm_in(first.permute(0, 2, 3, 1))
        for group in self.groups:
            x = group(x)
        x = self.last(self.norm_out(x).permute(0, 3, 1, 2)) + first
        return self._image(x, images).float() / self.white + mean

    def _image(self, x: Maps, images: Images) -> Maps:
        """The image, on the scale inside the network, from the features of the last group."""
        if self.scale == 1:
            return images + self.tail(x)
        if self.upsampler == "direct":
            return F.pixel_shuffle(self.tail(x), self.scale)
        x = self.before(x)
        for up, factor in zip(self.ups, self.factors, strict=True):
            if self.upsampler == "shuffle":
                x = F.pixel_shuffle(up(x), factor)
            else:
                x = F.leaky_relu(up(F.interpolate(x, scale_factor=factor, mode="nearest")), 0.2)
        return self.tail(self.after(x))


class Group(nn.Module):
    """Residual group: x plus blocks in windows, every other moved by half a window, and convolutions. Maps are (n, h, w, channels)."""

    def __init__(self, config: Config, width: int, count: int) -> None:
        super().__init__()
        shifts = [0 if i % 2 == 0 else config.window // 2 for i in range(count)]
        self.blocks = nn.Sequential(*(WindowBlock(width, config.heads, config.window, shift, config.hidden) for shift in shifts))
        self.last = _last(width, config.convolutions)

    def forward(self, x: Maps) -> Maps:
        return x + self.last(self.blocks(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _last(width: int, convolutions: int) -> nn.Sequential:
    """One convolution, or three through a quarter of the channels."""
    if convolutions == 1:
        return nn.Sequential(nn.Conv2d(width, width, 3, 1, 1))
    quarter = max(1, width // 4)
    return nn.Sequential(
        nn.Conv2d(width, quarter, 3, 1, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(quarter, quarter, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(quarter, width, 3, 1, 1),
    )


def _upsampler(config: Config, width: int, factors: Sequence[int]) -> tuple[nn.Sequential, nn.ModuleList, nn.Sequential]:
    """The layers before the enlargement, at each step of it, and before the last convolution."""
    if config.scale == 1 or config.upsampler == "direct":
        return nn.Sequential(), nn.ModuleList(), nn.Sequential()
    before = nn.Sequential(nn.Conv2d(width, _FEATURES, 3, 1, 1), nn.LeakyReLU(0.01, inplace=True))
    if config.upsampler == "shuffle":
        return before, nn.ModuleList([nn.Conv2d(_FEATURES, _FEATURES * factor**2, 3, 1, 1) for factor in factors]), nn.Sequential()
    ups = nn.ModuleList([nn.Conv2d(_FEATURES, _FEATURES, 3, 1, 1) for _ in factors])
    return before, ups, nn.Sequential(nn.Conv2d(_FEATURES, _FEATURES, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True))


def _tail_outputs(config: Config) -> int:
    return config.channels * (config.scale**2 if config.upsampler == "direct" else 1)


def _receptive_radius(config: Config, factors: Sequence[int]) -> int:
    """The steps of all layers in their order; a group of three convolutions reaches two pixels."""
    last = reach.conv(1 if config.convolutions == 1 else 2)
    steps = [reach.conv(1)]
    for count in config.blocks:
        steps += [reach.windows(config.window, 0 if i % 2 == 0 else config.window // 2) for i in range(count)]
        steps.append(last)
    steps.append(last)
    if config.upsampler == "direct":
        steps += [reach.conv(1), reach.enlarged(config.scale)]
    else:
        steps.append(reach.conv(1))
        for factor in factors:
            steps += [reach.conv(1), reach.enlarged(factor)] if config.upsampler == "shuffle" else [reach.enlarged(factor), reach.conv(1)]
        steps += [reach.conv(1)] * (2 if config.upsampler == "nearest" else 1)
    return reach.radius(steps, period=config.window, scale=config.scale)
