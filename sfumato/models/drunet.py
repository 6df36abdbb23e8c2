"""DRUNet: a U-Net of residual blocks without biases, conditioned on the noise level (Zhang et al. 2021, https://arxiv.org/abs/2008.13751).

    images, noise ─ head ─┬─ down ─┬─ down ─┬─ down ─ body ─ up ─ + ─ up ─ + ─ up ─ + ─ tail ─ clean
                          │        │        └───────────────────┘      │        │
                          │        └───────────────────────────────────┘        │
                          └─────────────────────────────────────────────────────┘

Without biases the output scales with the input, and the network generalises beyond the noise levels of its training.
"""

from itertools import pairwise
from typing import Annotated, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.fused import Shortcut


@settings
class Config:
    """Settings of a DRUNet."""

    id = "drunet"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    widths: Annotated[tuple[int, ...], Range(1, 2048, "channels")] = (64, 128, 256, 512)
    """Channels of the hidden maps at each size, finest first; each size is half of the one before."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 4
    """Residual blocks at each size, in the encoder and in the decoder."""

    def build(self) -> "DruNet":
        return DruNet(self)


@final
class DruNet(Restorer):
    """Denoising U-Net that takes the noise level as a plane."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.conditioning = config.channels, 1, _NOISE
        self.pad_multiple = 2 ** (len(config.widths) - 1)
        # Each block adds 2 pixels of its own size, in encoder and decoder, once at the coarsest size; head, tail and strides add the rest.
        sides = [2] * (len(config.widths) - 1) + [1]
        each = sum(2 * config.blocks * times << i for i, times in enumerate(sides))
        self.receptive_radius = each + 2 * self.pad_multiple + 2
        self.head = nn.Conv2d(config.channels + 1, config.widths[0], 3, 1, 1, bias=False)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for fine, coarse in pairwise(config.widths):
            self.down.append(nn.Sequential(*_blocks(fine, config.blocks), nn.Conv2d(fine, coarse, 2, 2, bias=False)))
            self.up.insert(0, nn.Sequential(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False), *_blocks(fine, config.blocks)))
        self.body = nn.Sequential(*_blocks(config.widths[-1], config.blocks))
        self.tail = nn.Conv2d(config.widths[0], config.channels, 3, 1, 1, bias=False)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        assert planes is not None
        x = self.head(torch.cat([degraded, planes], dim=1).contiguous(memory_format=torch.channels_last))
        skips = []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        y = self.body(x)
        for stage, skip in zip(self.up, [x, *reversed(skips[1:])], strict=True):
            y = stage(y + skip)
        return self.tail(y + skips[0]).float()


_NOISE: tuple[Plane, ...] = ("noise",)


class Block(Shortcut):
    """x + conv(relu(conv(x))), without biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        )


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [Block(width) for _ in range(count)]
