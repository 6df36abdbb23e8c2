"""PAN: pixel attention network for super-resolution (Zhao et al. 2020, https://arxiv.org/abs/2010.01073).

    images ─┬─ head ─┬─ [block x blocks] ─ trunk ─ + ─ [enlarge ─ conv ─ pixel attention ─ conv] ─ tail ─ + ─ enlarged
            │        └─────────────────────────────┘                                                      │
            └────────────────────────────────── bilinear ─────────────────────────────────────────────────┘

Four times are reached in two steps of two. Pixel attention multiplies each value by a weight of its own, sigmoid(conv1x1 x), so that
tiles agree with the whole image.
"""

from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer

_SLOPE = 0.2


@settings
class Config:
    """Settings of a PAN."""

    id = "pan"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(2, 1024, "channels")] = 40
    """Channels of the maps at the small size, an even number."""
    upper: Annotated[int, Range(1, 1024, "channels")] = 24
    """Channels of the maps at the larger sizes."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 16
    """Self-calibrated blocks."""
    scale: Literal[2, 3, 4] = 4
    """Enlargement of height and width."""

    def check(self) -> None:
        if self.width % 2:
            raise SettingError(f"pan: width = {self.width} is not even; give {self.width + 1}")

    def build(self) -> "Pan":
        return Pan(self)


@final
class Pan(Restorer):
    """Super-resolution network with pixel attention."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, config.scale, 1
        self.receptive_radius = 2 * config.blocks + 4
        self.conditioning: tuple[Plane, ...] = ()
        w, factors = config.width, (2, 2) if config.scale == 4 else (config.scale,)
        self.head = nn.Conv2d(config.channels, w, 3, 1, 1)
        self.blocks = nn.Sequential(*(Block(w) for _ in range(config.blocks)))
        self.trunk = nn.Conv2d(w, w, 3, 1, 1)
        self.ups = nn.ModuleList([Up(w if i == 0 else config.upper, config.upper, factor) for i, factor in enumerate(factors)])
        self.tail = nn.Conv2d(config.upper, config.channels, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = self.head(degraded.contiguous(memory_format=torch.channels_last))
        x = x + self.trunk(self.blocks(x))
        for up in self.ups:
            x = up(x)
        return self.tail(x).float() + F.interpolate(degraded, scale_factor=self.scale, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """Self-calibrated block with pixel attention: one half of the channels by a convolution, the other weighted by attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.plain, self.calibrated = nn.Conv2d(width, half, 1, bias=False), nn.Conv2d(width, half, 1, bias=False)
        self.conv = nn.Conv2d(half, half, 3, 1, 1, bias=False)
        self.weigh = nn.Conv2d(half, half, 1)
        self.inner, self.outer = (nn.Conv2d(half, half, 3, 1, 1, bias=False) for _ in range(2))
        self.join = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Images) -> Images:
        plain = self.conv(F.leaky_relu(self.plain(x), _SLOPE))
        calibrated = F.leaky_relu(self.calibrated(x), _SLOPE)
        calibrated = self.outer(self.inner(calibrated) * torch.sigmoid(self.weigh(calibrated)))
        return x + self.join(F.leaky_relu(torch.cat([plain, calibrated], dim=1), _SLOPE))


class Up(nn.Module):
    """Enlarges `factor` times by nearest neighbours and convolves twice, with pixel attention in between."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv, self.weigh = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 1)
        self.last = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Images) -> Maps:
        y = self.conv(F.interpolate(x, scale_factor=self.factor, mode="nearest"))
        y = F.leaky_relu(y * torch.sigmoid(self.weigh(y)), _SLOPE)
        return F.leaky_relu(self.last(y), _SLOPE)
