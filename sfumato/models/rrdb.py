"""RRDB: residual-in-residual dense blocks for super-resolution (Wang et al. 2018, https://arxiv.org/abs/1809.00219).

    images ─ fold ─ head ─┬─ [block x blocks] ─ trunk ─ + ─ [x2 ─ conv] x 2 ─ wide ─ tail ─ enlarged
                          └──────────────────────────────┘

The network always enlarges four times; for scale 2 or 1 the image is folded 2x2 or 4x4 first (Wang et al. 2021,
https://arxiv.org/abs/2107.10833).
"""

from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer

_SLOPE, _SHARE = 0.2, 0.2
"""Slope of the leaky ReLU; factor of the residual that a block adds to its input."""


@settings
class Config:
    """Settings of an RRDB network."""

    id = "rrdb"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 64
    """Channels of the hidden maps."""
    growth: Annotated[int, Range(1, 1024, "channels")] = 32
    """Channels that each convolution of a dense block adds."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 23
    """Blocks of three dense blocks each."""
    scale: Literal[1, 2, 4] = 4
    """Enlargement of height and width."""

    def build(self) -> "Rrdb":
        return Rrdb(self)


@final
class Rrdb(Restorer):
    """Super-resolution network of residual-in-residual dense blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale = config.channels, config.scale
        self.conditioning: tuple[Plane, ...] = ()
        self.fold = self.pad_multiple = 4 // config.scale
        self.receptive_radius = (15 * config.blocks + 4) * self.fold
        w = config.width
        self.head = nn.Conv2d(config.channels * self.fold**2, w, 3, 1, 1)
        self.blocks = nn.ModuleList([nn.ModuleList([Dense(w, config.growth) for _ in range(3)]) for _ in range(config.blocks)])
        self.trunk = nn.Conv2d(w, w, 3, 1, 1)
        self.ups = nn.ModuleList([nn.Conv2d(w, w, 3, 1, 1) for _ in range(2)])
        self.wide = nn.Conv2d(w, w, 3, 1, 1)
        self.tail = nn.Conv2d(w, config.channels, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = first = self.head(F.pixel_unshuffle(degraded, self.fold).contiguous(memory_format=torch.channels_last))
        for dense in self.blocks:
            y = x
            for part in dense.children():
                y = part(y)
            x = x + _SHARE * y
        x = first + self.trunk(x)
        for up in self.ups:
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2, mode="nearest")), _SLOPE)
        return self.tail(F.leaky_relu(self.wide(x), _SLOPE)).float()


class Dense(nn.Module):
    """Dense block: five convolutions, each of which takes the outputs of all before."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        outputs = [growth] * 4 + [width]
        self.convs = nn.ModuleList([nn.Conv2d(width + i * growth, out, 3, 1, 1) for i, out in enumerate(outputs)])

    def forward(self, x: Images) -> Images:
        features = x
        for conv in list(self.convs)[:-1]:
            features = torch.cat([features, F.leaky_relu(conv(features), _SLOPE)], dim=1)
        return x + _SHARE * self.convs[-1](features)
