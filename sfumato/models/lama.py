"""LaMa: inpainting of large holes by Fourier convolutions (Suvorov et al. 2022, https://arxiv.org/abs/2109.07161).

    images with holes, mask ─ 7x7 ─ [down] ─ [x + two Fourier convolutions] x blocks ─ [up] ─ 7x7 ─ sigmoid ─ the holes' pixels

The mask is 1 in the holes. Three quarters of the channels of the blocks are global: every pixel depends on the whole image, which is the
point of the network, and why it takes no tiles. Observed pixels come back as they were.
"""

from itertools import pairwise
from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.fourier import FourierConv, Pair
from sfumato.nn.norm import BatchNorm
from sfumato.nn.resample import at_least


@settings
class Config:
    """Settings of LaMa's generator."""

    id = "lama"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 512, "channels")] = 64
    """Channels of the maps at the full size; doubled at each smaller size."""
    down: Annotated[int, Range(1, 6, "halvings")] = 3
    """Halvings of the size before the blocks."""
    blocks: Annotated[int, Range(1, 64, "blocks")] = 18
    """Residual blocks of two Fourier convolutions each."""
    global_share: Annotated[float, Range(0.1, 0.9)] = 0.75
    """Share of the channels of the blocks that are global."""

    def build(self) -> "Lama":
        return Lama(self)


@final
class Lama(Restorer):
    """Inpainting network of Fourier convolutions."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.receptive_radius = config.channels, 1, 1 << config.down, None
        self.conditioning: tuple[Plane, ...] = ("observed",)
        widths = [config.width << i for i in range(config.down + 1)]
        kinds = _kinds(widths[-1], config.global_share)
        self.head = FourierConv((config.channels + 1, 0), (widths[0], 0), side=7)
        self.down = nn.ModuleList(
            [FourierConv((fine, 0), kinds if coarse == widths[-1] else (coarse, 0), stride=2) for fine, coarse in pairwise(widths)]
        )
        self.blocks = nn.ModuleList([Block(kinds) for _ in range(config.blocks)])
        self.up = nn.Sequential(*(layer for fine, coarse in reversed(list(pairwise(widths))) for layer in _up(coarse, fine)))
        self.tail = nn.Conv2d(widths[0], config.channels, 7)
        # The borders of the smallest maps are mirrored, which takes two pixels.
        self.least = 2 << config.down

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        assert planes is not None
        h, w = degraded.shape[2:]
        observed = planes[:, :1]
        pair: Pair = (
            at_least(torch.cat([degraded * observed, 1 - observed], dim=1), self.least).contiguous(memory_format=torch.channels_last),
            None,
        )
        for layer in (self.head, *self.down, *self.blocks):
            pair = layer(pair)
        local, outer = pair
        assert outer is not None
        x = self.tail(F.pad(self.up(torch.cat([local, outer], dim=1)), (3, 3, 3, 3), mode="reflect"))
        return degraded * observed + (1 - observed) * torch.sigmoid(x.float())[:, :, :h, :w]


class Block(nn.Module):
    """Both kinds of maps plus two Fourier convolutions of them."""

    def __init__(self, kinds: tuple[int, int]) -> None:
        super().__init__()
        self.convs = nn.Sequential(FourierConv(kinds, kinds), FourierConv(kinds, kinds))

    def forward(self, pair: Pair) -> Pair:
        local, outer = self.convs(pair)
        assert pair[1] is not None
        assert outer is not None
        return pair[0] + local, pair[1] + outer


def _kinds(width: int, share: float) -> tuple[int, int]:
    """Numbers of local and of global channels among `width`."""
    outer = int(width * share)
    return width - outer, outer


def _up(coarse: int, fine: int) -> list[nn.Module]:
    """Layers that double the size."""
    return [nn.ConvTranspose2d(coarse, fine, 3, 2, 1, output_padding=1), BatchNorm(fine), nn.ReLU(inplace=True)]
