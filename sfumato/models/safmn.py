"""SAFMN: spatially adaptive feature modulation for super-resolution (Sun et al. 2023, https://arxiv.org/abs/2302.13800).

    images ─ head ─┬─ [block x blocks] ─ + ─ tail ─ shuffle ─ enlarged
                   └─────────────────────┘

A block is x plus its modulation, then x plus a convolutional channel mixer. The modulation splits the channels into four parts, takes
the maximum of squares of 1, 2, 4 and 8 pixels, convolves, enlarges, and multiplies the result with x. The squares lie on a grid of 8
pixels: tiles that begin on it agree with the whole image.
"""

from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.norm import LayerNorm

_LEVELS = 4
_EPS = 1e-6


@settings
class Config:
    """Settings of a SAFMN."""

    id = "safmn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(4, 1024, "channels")] = 36
    """Channels of the hidden maps, a multiple of 4."""
    middle: Annotated[int, Range(1, 4096, "channels")] = 72
    """Channels inside the channel mixer."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 8
    """Feature mixing blocks."""
    scale: Annotated[int, Range(1, 8, "times")] = 4
    """Enlargement of height and width."""

    def check(self) -> None:
        if self.width % _LEVELS:
            raise SettingError(
                f"safmn: width = {self.width} is not a multiple of {_LEVELS}; give {self.width + _LEVELS - self.width % _LEVELS}"
            )

    def build(self) -> "Safmn":
        return Safmn(self)


@final
class Safmn(Restorer):
    """Super-resolution network with spatially adaptive feature modulation."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, config.scale, 1 << (_LEVELS - 1)
        # A block looks one coarse cell beyond the own one, and its mixer one pixel further; head and tail add one each.
        self.receptive_radius = 2 * self.pad_multiple * config.blocks + 2
        self.conditioning: tuple[Plane, ...] = ()
        self.head = nn.Conv2d(config.channels, config.width, 3, 1, 1)
        self.blocks = nn.Sequential(*(Block(config.width, config.middle) for _ in range(config.blocks)))
        self.tail = nn.Conv2d(config.width, config.channels * config.scale**2, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = self.head(degraded.contiguous(memory_format=torch.channels_last))
        return F.pixel_shuffle(self.tail(self.blocks(x) + x).float(), self.scale)


class Block(nn.Module):
    """Feature mixing block: x plus its modulation, then x plus a 3x3 and a 1x1 convolution."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        self.modulation = nn.Sequential(LayerNorm(width, affine=True, eps=_EPS), Modulation(width))
        self.mixer = nn.Sequential(
            LayerNorm(width, affine=True, eps=_EPS), nn.Conv2d(width, middle, 3, 1, 1), nn.GELU(), nn.Conv2d(middle, width, 1)
        )

    def forward(self, x: Images) -> Images:
        x = x + self.modulation(x)
        return x + self.mixer(x)


class Modulation(nn.Module):
    """Multiplies features by a mask that is computed from maxima over squares of four sizes. Sides must be multiples of 8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // _LEVELS
        self.levels = nn.ModuleList([nn.Conv2d(part, part, 3, 1, 1, groups=part) for _ in range(_LEVELS)])
        self.join = nn.Conv2d(width, width, 1)

    def forward(self, x: Images) -> Images:
        parts, (h, w) = [], x.shape[2:]
        for i, (part, conv) in enumerate(zip(x.chunk(_LEVELS, dim=1), self.levels, strict=True)):
            # Maps that are smaller than the pool have one value at least.
            y = conv(F.adaptive_max_pool2d(part, (max(1, h >> i), max(1, w >> i))) if i else part)
            parts.append(F.interpolate(y, (h, w), mode="nearest") if i else y)
        return x * F.gelu(self.join(torch.cat(parts, dim=1)))
