"""IMDN: information multi-distillation network for super-resolution (Hui et al. 2019, https://arxiv.org/abs/1909.11856).

    images ─ head ─┬─ [block x blocks, all kept] ─ gather ─ trunk ─ + ─ tail ─ shuffle ─ enlarged
                   └────────────────────────────────────────────────┘

A block keeps a quarter of its channels at each of three steps and passes the rest on. The kept channels are weighted by their contrast,
mean plus standard deviation over the whole image; the result for a tile therefore differs a little from that for the whole image.
"""

from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer

_SLOPE = 0.05


@settings
class Config:
    """Settings of an IMDN."""

    id = "imdn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(4, 1024, "channels")] = 64
    """Channels of the hidden maps, a multiple of 4."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 6
    """Distillation blocks."""
    scale: Annotated[int, Range(1, 8, "times")] = 4
    """Enlargement of height and width."""

    def check(self) -> None:
        if self.width % 4:
            raise SettingError(f"imdn: width = {self.width} is not a multiple of 4; give {self.width + 4 - self.width % 4}")

    def build(self) -> "Imdn":
        return Imdn(self)


@final
class Imdn(Restorer):
    """Super-resolution network of distillation blocks."""

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
        first = x = self.head(degraded.contiguous(memory_format=torch.channels_last))
        kept = []
        for block in self.blocks:
            x = block(x)
            kept.append(x)
        x = self.trunk(F.leaky_relu(self.gather(torch.cat(kept, dim=1)), _SLOPE)) + first
        return F.pixel_shuffle(self.tail(x).float(), self.scale)


class Distillation(nn.Module):
    """Distillation block: keeps a quarter of the channels at each of four convolutions and weights them by contrast."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keep, rest = width // 4, width - width // 4
        self.steps = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(rest, width, 3, 1, 1), nn.Conv2d(rest, width, 3, 1, 1)])
        self.last = nn.Conv2d(rest, self.keep, 3, 1, 1)
        self.squeeze, self.excite = nn.Conv2d(width, max(1, width // 16), 1), nn.Conv2d(max(1, width // 16), width, 1)
        self.join = nn.Conv2d(width, width, 1)

    def forward(self, x: Images) -> Images:
        kept, rest = [], x
        for step in self.steps:
            both = F.leaky_relu(step(rest), _SLOPE)
            kept.append(both[:, : self.keep])
            rest = both[:, self.keep :]
        y = torch.cat([*kept, self.last(rest)], dim=1)
        z = y.float()
        contrast = z.mean(dim=(2, 3), keepdim=True) + z.std(dim=(2, 3), keepdim=True, correction=0)
        gate = self.excite(F.relu(self.squeeze(contrast))).sigmoid()
        return x + self.join(y * gate)
