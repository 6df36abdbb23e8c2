"""Restormer: a transformer across channels (Zamir et al. 2022, https://arxiv.org/abs/2111.09881).

    images ─ head ─ encoder 1 ─ down ─ encoder 2 ─ down ─ encoder 3 ─ down ─ latent
                        │                  │                  │                │
    clean ─ + ─ tail ─ refinement ─ decoder 1 ─ up ─ decoder 2 ─ up ─ decoder 3 ─ up
    images ─┘

A block is x plus attention, then x plus a gated feed-forward part. The attention compares channels, each as a vector of all its pixels,
so that it costs as much as the number of pixels; every pixel therefore depends on the whole image.
"""

from itertools import pairwise
from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer

_LEVELS = 4
_EPS = 1e-5


@settings
class Config:
    """Settings of a Restormer."""

    id = "restormer"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 512, "channels")] = 48
    """Channels of the maps at the full size; doubled at each smaller size."""
    blocks: Annotated[tuple[int, int, int, int], Range(0, 64, "blocks")] = (4, 6, 6, 8)
    """Blocks at each size, the full one first: in the encoder, and but for the smallest also in the decoder."""
    refinement: Annotated[int, Range(0, 64, "blocks")] = 4
    """Blocks after the decoder."""
    heads: Annotated[tuple[int, int, int, int], Range(1, 16, "heads")] = (1, 2, 4, 8)
    """Heads of the attention at each size; channels of different heads are not compared."""
    expansion: Annotated[float, Range(0.1, 16, "times")] = 2.66
    """Channels inside the feed-forward part over those of the maps."""
    bias: bool = False
    """Gives biases to the convolutions of the blocks."""
    centre: bool = True
    """Subtracts the mean in the normalisation of the channels, and adds a learned shift; without, it only divides by the deviation."""

    def check(self) -> None:
        for level, heads in enumerate(self.heads):
            if (self.width << level) % heads:
                raise SettingError(f"restormer: heads = {heads} do not divide the {self.width << level} channels of size {level + 1}")

    def build(self) -> "Restormer":
        return Restormer(self)


@final
class Restormer(Restorer):
    """Restoration U-Net with attention across channels."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.receptive_radius = config.channels, 1, 1 << (_LEVELS - 1), None
        self.conditioning: tuple[Plane, ...] = ()
        widths = [config.width << level for level in range(_LEVELS)]
        self.head = nn.Conv2d(config.channels, config.width, 3, 1, 1, bias=config.bias)
        self.encoder = nn.ModuleList([_stage(config, widths[i], i, config.blocks[i]) for i in range(_LEVELS)])
        self.down = nn.ModuleList([nn.Conv2d(fine, fine // 2, 3, 1, 1, bias=False) for fine in widths[:-1]])
        self.up = nn.ModuleList([nn.Conv2d(coarse, coarse * 2, 3, 1, 1, bias=False) for _, coarse in reversed(list(pairwise(widths)))])
        # At the full size both parts are kept: the decoder has twice the channels of the encoder.
        self.joins = nn.ModuleList([nn.Conv2d(2 * width, width, 1, bias=config.bias) for width in reversed(widths[1:-1])])
        decoder = [(widths[2], 2), (widths[1], 1), (2 * widths[0], 0)]
        self.decoder = nn.ModuleList([_stage(config, width, level, config.blocks[level]) for width, level in decoder])
        self.refinement = _stage(config, 2 * config.width, 0, config.refinement)
        self.tail = nn.Conv2d(2 * config.width, config.channels, 3, 1, 1, bias=config.bias)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = self.head(degraded.contiguous(memory_format=torch.channels_last))
        skips = []
        for stage, down in zip(self.encoder, [*self.down, None], strict=True):
            x = stage(x)
            if down is not None:
                skips.append(x)
                x = F.pixel_unshuffle(down(x), 2)
        for up, stage, join in zip(self.up, self.decoder, [*self.joins, None], strict=True):
            x = torch.cat([F.pixel_shuffle(up(x), 2), skips.pop()], dim=1)
            x = stage(x if join is None else join(x))
        return self.tail(self.refinement(x)).float() + degraded


class ChannelNorm(nn.Module):
    """Normalises the channels of each pixel to variance 1 and, with `centre`, to mean 0 before a learned scale (and shift)."""

    def __init__(self, width: int, centre: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if centre else None

    def forward(self, x: Images) -> Images:
        y = x.float()
        mean = y.mean(dim=1, keepdim=True)
        scaled = (y if self.bias is None else y - mean) * ((y - mean).square().mean(dim=1, keepdim=True) + _EPS).rsqrt()
        shift = 0 if self.bias is None else self.bias[:, None, None]
        return (scaled * self.weight[:, None, None] + shift).to(x.dtype)


class ChannelAttention(nn.Module):
    """Attention of `heads` heads among channels: each is compared with the others over all pixels of the image."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.temperature = heads, nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=bias)
        self.near = nn.Conv2d(3 * width, 3 * width, 3, 1, 1, groups=3 * width, bias=bias)
        self.project = nn.Conv2d(width, width, 1, bias=bias)

    def forward(self, x: Images) -> Images:
        n, c, h, w = x.shape
        q, k, v = (part.reshape(n, self.heads, c // self.heads, h * w) for part in self.near(self.qkv(x)).chunk(3, dim=1))
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * self.temperature
        return self.project((scores.softmax(dim=-1) @ v).reshape(n, c, h, w))


class Block(nn.Module):
    """Transformer block: x plus attention across channels, then x plus a gated feed-forward part."""

    def __init__(self, config: Config, width: int, heads: int) -> None:
        super().__init__()
        inner = int(width * config.expansion)
        self.norm1, self.attention = ChannelNorm(width, config.centre), ChannelAttention(width, heads, config.bias)
        self.norm2 = ChannelNorm(width, config.centre)
        self.spread = nn.Conv2d(width, 2 * inner, 1, bias=config.bias)
        self.near = nn.Conv2d(2 * inner, 2 * inner, 3, 1, 1, groups=2 * inner, bias=config.bias)
        self.project = nn.Conv2d(inner, width, 1, bias=config.bias)

    def forward(self, x: Images) -> Images:
        x = x + self.attention(self.norm1(x))
        gate, value = self.near(self.spread(self.norm2(x))).chunk(2, dim=1)
        return x + self.project(F.gelu(gate) * value)


def _stage(config: Config, width: int, level: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(config, width, config.heads[level]) for _ in range(count)))
