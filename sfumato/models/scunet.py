"""SCUNet: Swin-Conv-UNet for blind denoising (Zhang et al. 2022, https://arxiv.org/abs/2203.13278).

    images ─ head ─┬─ [stage ─ down] x 3 ─┬─ body ─ + ─ [up ─ stage ─ +] x 3 ─ tail ─ clean
                   │                      └─────────┘               │
                   └──────────── each size is added to its own ─────┘

A block mixes all channels by a 1x1 convolution, passes one half through two convolutions and the other through a transformer block in
windows, every other moved by half, and joins both. All windows lie on one grid, so that tiles agree with the whole image.
"""

from typing import Annotated, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn import reach
from sfumato.nn.windows import WindowBlock

_LEVELS = 3


@settings
class Config:
    """Settings of a SCUNet."""

    id = "scunet"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    head_width: Annotated[int, Range(1, 512, "channels")] = 32
    """Channels of each head of the attention. Either half of a block has as many times the heads."""
    heads: Annotated[int, Range(1, 16, "heads")] = 1
    """Heads of the attention at the full size; doubled at each smaller size."""
    blocks: Annotated[tuple[int, int, int, int, int, int, int], Range(1, 64, "blocks")] = (4, 4, 4, 4, 4, 4, 4)
    """Blocks of each stage: three down, the body, three up."""
    window: Annotated[int, Range(2, 64, "pixels a side")] = 8
    """Side of the windows."""

    def build(self) -> "ScuNet":
        return ScuNet(self)


@final
class ScuNet(Restorer):
    """Denoising U-Net of blocks that are half convolution and half attention in windows."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, 1, config.window << _LEVELS
        self.conditioning: tuple[Plane, ...] = ()
        width = 2 * config.head_width * config.heads
        self.head = nn.Conv2d(config.channels, width, 3, 1, 1, bias=False)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(_LEVELS):
            fine, coarse = width << level, width << (level + 1)
            self.down.append(nn.Sequential(*_stage(config, level, config.blocks[level]), nn.Conv2d(fine, coarse, 2, 2, bias=False)))
            stage = _stage(config, level, config.blocks[2 * _LEVELS - level])
            self.up.insert(0, nn.Sequential(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False), *stage))
        self.body = nn.Sequential(*_stage(config, _LEVELS, config.blocks[_LEVELS]))
        self.tail = nn.Conv2d(width, config.channels, 3, 1, 1, bias=False)
        self.receptive_radius = _receptive_radius(config)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = self.head(degraded.contiguous(memory_format=torch.channels_last))
        skips = []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        y = self.body(x)
        for stage, skip in zip(self.up, [x, *reversed(skips[1:])], strict=True):
            y = stage(y + skip)
        return self.tail(y + skips[0]).float()


class Block(nn.Module):
    """x plus its two halves, one through convolutions and one through a transformer block, mixed before and after."""

    def __init__(self, half: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(2 * half, 2 * half, 1), nn.Conv2d(2 * half, 2 * half, 1)
        self.convs = nn.Sequential(
            nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(half, half, 3, 1, 1, bias=False)
        )
        self.attention = WindowBlock(half, heads, window, shift, 4 * half)

    def forward(self, x: Images) -> Images:
        near, wide = self.before(x).chunk(2, dim=1)
        near = near + self.convs(near)
        wide = self.attention(wide.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.after(torch.cat([near, wide], dim=1))


def _stage(config: Config, level: int, count: int) -> list[Block]:
    heads = config.heads << level
    return [Block(config.head_width * heads, heads, config.window, config.window // 2 * (i % 2)) for i in range(count)]


def _receptive_radius(config: Config) -> int:
    """The longest way: down, through the body and up. A window reaches farther than the two convolutions beside it."""

    def stage(count: int) -> list[reach.Step]:
        return [_wider(config.window, config.window // 2 * (i % 2)) for i in range(count)]

    steps = [reach.conv(1)]
    for count in config.blocks[:_LEVELS]:
        steps += [*stage(count), reach.shrunk(2)]
    steps += stage(config.blocks[_LEVELS])
    for count in config.blocks[_LEVELS + 1 :]:
        steps += [reach.enlarged(2), *stage(count)]
    return reach.radius([*steps, reach.conv(1)], period=config.window << _LEVELS)


def _wider(window: int, shift: int) -> reach.Step:
    """The step of a block: the wider of its window and of its two convolutions, on either side."""
    inside, beside = reach.windows(window, shift), reach.conv(2)
    return lambda span: (min(inside(span)[0], beside(span)[0]), max(inside(span)[1], beside(span)[1]))
