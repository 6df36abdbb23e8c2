"""RFDN: residual feature distillation network for super-resolution (Liu et al. 2020, https://arxiv.org/abs/2009.11551).

    images ─ head ─┬─ [block x blocks, all outputs kept] ─ gather ─ trunk ─ + ─ tail ─ shuffle ─ enlarged
                   └────────────────────────────────────────────────────────┘

A block refines its input three times and distils half of the channels by a 1x1 convolution before each; what is distilled is joined and
weighted by spatial attention. That attention depends on the size of the image (`nn/esa.py`), so the network takes the whole image.
"""

from typing import Annotated, final

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
    """Settings of an RFDN."""

    id = "rfdn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(4, 1024, "channels")] = 50
    """Channels of the hidden maps."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 4
    """Distillation blocks."""
    scale: Annotated[int, Range(1, 8, "times")] = 4
    """Enlargement of height and width."""

    def build(self) -> "Rfdn":
        return Rfdn(self)


@final
class Rfdn(Restorer):
    """Super-resolution network of residual distillation blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.receptive_radius = config.channels, config.scale, 1, None
        self.conditioning: tuple[Plane, ...] = ()
        w = config.width
        self.head = nn.Conv2d(config.channels, w, 3, 1, 1)
        self.blocks = nn.ModuleList([Distillation(w) for _ in range(config.blocks)])
        self.gather = nn.Conv2d(w * config.blocks, w, 1)
        self.trunk = nn.Conv2d(w, w, 3, 1, 1)
        self.tail = nn.Conv2d(w, config.channels * config.scale**2, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        h, w = (side * self.scale for side in degraded.shape[2:])
        first = x = self.head(at_least(degraded, LEAST_SIDE).contiguous(memory_format=torch.channels_last))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.trunk(F.leaky_relu(self.gather(torch.cat(outputs, dim=1)), _SLOPE)) + first
        return F.pixel_shuffle(self.tail(x).float(), self.scale)[:, :, :h, :w]


class Distillation(nn.Module):
    """Residual distillation block: x distilled and refined three times, joined and weighted by spatial attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.distil = nn.ModuleList([nn.Conv2d(width, half, 1) for _ in range(3)])
        self.refine = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1) for _ in range(3)])
        self.last = nn.Conv2d(width, half, 3, 1, 1)
        self.join = nn.Conv2d(4 * half, width, 1)
        self.attention = EnhancedSpatialAttention(width, width // 4, 3)

    def forward(self, x: Images) -> Images:
        distilled = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            distilled.append(F.leaky_relu(distil(x), _SLOPE))
            x = F.leaky_relu(refine(x) + x, _SLOPE)
        distilled.append(F.leaky_relu(self.last(x), _SLOPE))
        return self.attention(self.join(torch.cat(distilled, dim=1)))
