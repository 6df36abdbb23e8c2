"""Compact super-resolution network: a chain of convolutions at the small size, then pixel shuffle.

The layout of Real-ESRGAN's compact networks (Wang et al. 2021, https://arxiv.org/abs/2107.10833): PReLU between the convolutions, and
the nearest-neighbour enlargement of the image added at the end.

    images ─┬─ [conv ─ prelu] x depth ─ conv ─ shuffle ─ + ─ enlarged
            └──────────────── nearest ────────────────────┘
"""

from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer


@settings
class Config:
    """Settings of a compact super-resolution network."""

    id = "compact"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 64
    """Channels of the hidden maps."""
    depth: Annotated[int, Range(1, 64, "convolutions")] = 17
    """Convolutions that are followed by PReLU."""
    scale: Annotated[int, Range(1, 8, "times")] = 4
    """Enlargement of height and width."""

    def build(self) -> "Compact":
        return Compact(self)


@final
class Compact(Restorer):
    """Compact super-resolution network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.receptive_radius = config.channels, config.scale, 1, config.depth + 1
        self.conditioning: tuple[Plane, ...] = ()
        inputs = [config.channels, *[config.width] * (config.depth - 1)]
        layers = [layer for n in inputs for layer in (nn.Conv2d(n, config.width, 3, 1, 1), nn.PReLU(config.width))]
        self.layers = nn.Sequential(*layers, nn.Conv2d(config.width, config.channels * config.scale**2, 3, 1, 1))

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        detail = F.pixel_shuffle(self.layers(degraded.contiguous(memory_format=torch.channels_last)).float(), self.scale)
        return detail + F.interpolate(degraded, scale_factor=self.scale, mode="nearest")
