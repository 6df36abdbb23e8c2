"""CARN-M: cascading residual network for super-resolution, mobile form (Ahn et al. 2018, https://arxiv.org/abs/1803.08664).

    images - mean ─ head ─ cascade of 3 blocks ─ [conv ─ relu ─ shuffle] ─ tail ─ + mean ─ enlarged
    block: x ─ cascade of one residual unit, used 3 times ─ y

In a cascade, the output of each step is joined with all that went before and merged by a 1x1 convolution. The residual unit consists of
grouped convolutions, and a block uses the same weights three times.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean of red, green and blue over the pictures of DIV2K."""
_STEPS = 3


@settings
class Config:
    """Settings of a CARN-M."""

    id = "carn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(4, 1024, "channels")] = 64
    """Channels of the hidden maps, a multiple of the groups."""
    groups: Annotated[int, Range(1, 64, "groups")] = 4
    """Groups of the 3x3 convolutions: each sees that share of the channels."""
    scale: Literal[2, 3, 4] = 4
    """Enlargement of height and width."""

    def check(self) -> None:
        if self.width % self.groups:
            raise SettingError(f"carn: width = {self.width} is not a multiple of groups = {self.groups}")

    def build(self) -> "Carn":
        return Carn(self)


@final
class Carn(Restorer):
    """Super-resolution network of cascading residual blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, config.scale, 1
        # Head, three units of two convolutions in each of three blocks; the enlarging convolutions and the tail reach two pixels more.
        self.receptive_radius = 1 + 2 * _STEPS * _STEPS + 3
        self.conditioning: tuple[Plane, ...] = ()
        w, factors = config.width, (2, 2) if config.scale == 4 else (config.scale,)
        self.head = nn.Conv2d(config.channels, w, 3, 1, 1)
        self.blocks = nn.ModuleList([Block(w, config.groups) for _ in range(_STEPS)])
        self.merges = _merges(w)
        self.ups = nn.ModuleList([nn.Conv2d(w, w * factor**2, 3, 1, 1, groups=config.groups) for factor in factors])
        self.factors = factors
        self.tail = nn.Conv2d(w, config.channels, 3, 1, 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        mean = degraded.new_tensor(MEAN)[:, None, None] if self.channels == 3 else 0.0
        x = self.head((degraded - mean).contiguous(memory_format=torch.channels_last))
        x = cascade(list(self.blocks), self.merges, x)
        for conv, factor in zip(self.ups, self.factors, strict=True):
            x = F.pixel_shuffle(F.relu(conv(x)), factor)
        return self.tail(x).float() + mean


class Block(nn.Module):
    """Cascading block: one residual unit, used three times."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.unit = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
        )
        self.merges = _merges(width)

    def forward(self, x: Images) -> Images:
        return cascade([self._residual] * _STEPS, self.merges, x)

    def _residual(self, x: Images) -> Images:
        return F.relu(x + self.unit(x))


def cascade(steps: Sequence[Callable[[Images], Images]], merges: nn.ModuleList, x: Images) -> Images:
    """The output of the last merge, where each merge takes `x` and the outputs of all steps so far."""
    joined = x
    for step, merge in zip(steps, merges, strict=True):
        joined = torch.cat([joined, step(x)], dim=1)
        x = F.relu(merge(joined))
    return x


def _merges(width: int) -> nn.ModuleList:
    return nn.ModuleList([nn.Conv2d(width * (i + 2), width, 1) for i in range(_STEPS)])
