"""RLFN: residual local feature network for super-resolution (Kong et al. 2022, https://arxiv.org/abs/2205.07514).

    images x level ─ head ─┬─ [block x blocks] ─ trunk ─ + ─ tail ─ shuffle ─ / level ─ enlarged
                           └─────────────────────────────┘

A block is x plus three convolutions, then a 1x1 convolution and spatial attention. That attention depends on the size of the image
(`nn/esa.py`), so the network takes the whole image.
"""

from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.esa import LEAST_SIDE, EnhancedSpatialAttention
from sfumato.nn.resample import at_least

_SLOPE = 0.05


@settings
class Config:
    """Settings of an RLFN."""

    id = "rlfn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 52
    """Channels of the maps between blocks."""
    middle: Annotated[int, Range(1, 1024, "channels")] = 52
    """Channels of the maps inside blocks."""
    attention: Annotated[int, Range(1, 1024, "channels")] = 16
    """Channels of the maps from which spatial attention is computed."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 6
    """Residual blocks."""
    scale: Annotated[int, Range(1, 8, "times")] = 4
    """Enlargement of height and width."""
    white: Literal[1, 255] = 1
    """Value of white in the input and output of the layers. The authors trained with grey levels, that is 255."""

    def build(self) -> "Rlfn":
        return Rlfn(self)


@final
class Rlfn(Restorer):
    """Super-resolution network of residual local feature blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.receptive_radius = config.channels, config.scale, 1, None
        self.conditioning: tuple[Plane, ...] = ()
        self.white, w = config.white, config.width
        self.head = nn.Conv2d(config.channels, w, 3, 1, 1)
        self.blocks = nn.Sequential(*(Block(w, config.middle, config.attention) for _ in range(config.blocks)))
        self.trunk = nn.Conv2d(w, w, 3, 1, 1)
        self.tail = nn.Conv2d(w, config.channels * config.scale**2, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        h, w = (side * self.scale for side in degraded.shape[2:])
        x = self.head(at_least(degraded, LEAST_SIDE).contiguous(memory_format=torch.channels_last) * self.white)
        x = self.trunk(self.blocks(x)) + x
        return F.pixel_shuffle(self.tail(x).float(), self.scale)[:, :, :h, :w] / self.white


class Block(nn.Module):
    """Residual local feature block: x plus three convolutions, joined and weighted by spatial attention."""

    def __init__(self, width: int, middle: int, narrow: int) -> None:
        super().__init__()
        sizes = ((width, middle), (middle, middle), (middle, width))
        self.convs = nn.Sequential(*(layer for n, m in sizes for layer in (nn.Conv2d(n, m, 3, 1, 1), nn.LeakyReLU(_SLOPE, inplace=True))))
        self.join = nn.Conv2d(width, width, 1)
        self.attention = EnhancedSpatialAttention(width, narrow, 1)

    def forward(self, x: Images) -> Images:
        return self.attention(self.join(x + self.convs(x)))
