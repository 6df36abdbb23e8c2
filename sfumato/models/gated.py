"""Gated convolutions, flat or as a U-Net: one block whose settings are the attention networks of the literature.

    images, planes ─ fold ─ head ─┬─ encoder.0 ─ down.0 ─┬─ ... ─ middle ─ ... ─ up.0 ─ + ─ decoder.0 ─ tail ─ unfold ─ + ─ clean
                                  │                      └───────────────────────────── │ ──────────────────────────────│
                                  └─────────────────────────────────────────────────────┘     images (enlarged) ────────┘

| network | convolution | between | channel_gate | pixel_gate |
|---|---|---|---|---|
| CVANet, convolution then 1x1 - ReLU - 1x1 - sigmoid over channels and over pixels | full | relu | mean | pointwise |
| squeeze and excitation (Hu et al. 2018, https://arxiv.org/abs/1709.01507) | full | relu | mean | none |
| CBAM (Woo et al. 2018, https://arxiv.org/abs/1807.06521) | full | relu | mean+max | pooled |
| NAFNet (Chen et al. 2022, https://arxiv.org/abs/2204.04676) | depthwise | split | linear | none |

U-Net, folding and enlarging: as in NAFNet, FFDNet (Zhang et al. 2018, https://arxiv.org/abs/1710.04026) and ESPCN (Shi et al. 2016,
https://arxiv.org/abs/1609.05158).
"""

from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn import fill
from sfumato.nn.attention import ChannelGate, ChannelKind, PixelGate, PixelKind, Split
from sfumato.nn.norm import LayerNorm
from sfumato.nn.resample import resize


@settings
class Config:
    id = "gated"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 32
    """Channels of the finest hidden maps; each halving of the size doubles them."""
    encoder: Annotated[tuple[int, ...], Range(0, 64, "blocks")] = ()
    """Blocks at each size on the way down, finest first; none for a flat network."""
    middle: Annotated[int, Range(0, 256, "blocks")] = 8
    """Blocks at the coarsest size."""
    decoder: Annotated[tuple[int, ...], Range(0, 64, "blocks")] = ()
    """Blocks at each size on the way up, coarsest first."""
    convolution: Literal["full", "depthwise"] = "full"
    """A block is two 3x3 convolutions, or NAFNet's: 1x1, 3x3 channel by channel and 1x1, then 1x1 and 1x1."""
    between: Literal["relu", "split"] = "relu"
    """What is between convolutions: ReLU, or the product of two halves of twice as many channels."""
    channel_gate: ChannelKind = "none"
    """How channels are weighed."""
    pixel_gate: PixelKind = "none"
    """How pixels are weighed."""
    reduction: Annotated[int, Range(1, 64)] = 4
    """How many times fewer channels there are inside a gate."""
    window: Annotated[int, Range(0, 1024, "pixels")] = 0
    """Channels are weighed by what is in a cell of this side and its neighbours, so that tiles agree with the whole; 0: in the image."""
    fold: Annotated[int, Range(1, 8, "pixels")] = 1
    """Squares of this side become one pixel of many channels first."""
    scale: Annotated[int, Range(1, 8)] = 1
    """How many times longer the sides of the result are."""
    planes: tuple[Plane, ...] = ()
    """What it is told beside the image."""
    residual: bool = True
    """Whether the image is added to what the network finds, so that it begins with leaving it as it is."""
    fill: Annotated[int, Range(0, 8)] = 0
    """Holes are begun with means of what is known around them, taken from images halved this often; 0 leaves in them what there is."""
    extremes: bool = False
    """Whether it is shown which samples are exactly black or white, or beyond: salt and pepper."""

    def check(self) -> None:
        if len(self.encoder) != len(self.decoder):
            raise SettingError(f"gated: encoder has {len(self.encoder)} sizes, decoder {len(self.decoder)}; give both as many")
        if self.fill and "observed" not in self.planes:
            raise SettingError(f"gated: fill = {self.fill} wants to know what is missing; add known to planes")
        if self.window % self.multiple:
            raise SettingError(f"window = {self.window} must be a multiple of {self.multiple}, the side of one pixel of the coarsest map")

    @property
    def multiple(self) -> int:
        """Side in pixels of the image of one pixel of the coarsest map."""
        return max(self.fold << len(self.encoder), 1 << self.fill)

    def build(self, guides: int = 0) -> "Gated":
        """With `guides`, one that is shown as many more images beside the one it repairs; their channels come first among the planes."""
        return Gated(self, guides)


@final
class Gated(Restorer):
    def __init__(self, config: Config, guides: int = 0) -> None:
        super().__init__()
        self.channels, self.scale, self.fold, self.conditioning = config.channels, config.scale, config.fold, config.planes
        self.extremes, self.pad_multiple, self.residual = config.extremes, config.multiple, config.residual
        self.window, self.fill, self.guides = config.window, config.fill, guides
        depth = len(config.encoder)
        seen = config.channels * (1 + config.extremes + guides) + len(config.planes)
        self.head = nn.Conv2d(seen * config.fold**2, config.width, 3, 1, 1)
        self.encoder, self.down, self.up, self.decoder = (nn.ModuleList() for _ in range(4))
        for i in range(depth):
            width = config.width << i
            self.encoder.append(_stage(config, i, config.encoder[i]))
            self.down.append(nn.Conv2d(width, 2 * width, 2, 2))
            self.up.insert(0, nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1, bias=False), nn.PixelShuffle(2)))
            self.decoder.append(_stage(config, depth - 1 - i, config.decoder[i]))
        self.middle = _stage(config, depth, config.middle)
        self.tail = nn.Conv2d(config.width, config.channels * (config.fold * config.scale) ** 2, 3, 1, 1)
        self.receptive_radius = _context(self, config)

    @property
    def tile_multiple(self) -> int:
        return self.window or self.pad_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        if self.fill:
            assert planes is not None
            which = self.channels * self.guides + self.conditioning.index("observed")
            degraded = fill.push_pull(degraded, planes[:, which : which + 1], levels=self.fill)
        x = self.head(F.pixel_unshuffle(self._head_input(degraded, planes), self.fold).contiguous(memory_format=torch.channels_last))
        skips: list[torch.Tensor] = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = stage(up(x) + skips.pop())
        found = F.pixel_shuffle(self.tail(x).float(), self.fold * self.scale)
        if not self.residual:
            return found
        h, w = found.shape[2:]
        return found + (degraded if self.scale == 1 else resize(degraded, (h, w)))

    def _head_input(self, degraded: Images, planes: Planes | None) -> Maps:
        parts = [degraded]
        if self.extremes:
            parts.append(((degraded <= 0) | (degraded >= 1)).to(degraded.dtype))
        if self.conditioning or self.guides:
            assert planes is not None
            parts.append(planes)
        return torch.cat(parts, dim=1)


class Block(nn.Module):
    """x plus two 3x3 convolutions, with gates behind them."""

    reach = 2

    def __init__(self, config: Config, width: int, cell: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(last.weight)
        wide = 2 * width if config.between == "split" else width
        self.body = nn.Sequential(nn.Conv2d(width, wide, 3, 1, 1), _between(config), last, *_gates(config, width, cell))

    def forward(self, x: Images) -> Images:
        return x + self.body(x)


class DepthwiseBlock(nn.Module):
    """x plus 1x1, 3x3 channel by channel, gates and 1x1; then x plus 1x1 and 1x1. Both begin as the identity."""

    reach = 1

    def __init__(self, config: Config, width: int, cell: int) -> None:
        super().__init__()
        wide, half = 2 * width, width if config.between == "split" else 2 * width
        self.mix = nn.Sequential(
            LayerNorm(width, affine=True, eps=1e-6),
            nn.Conv2d(width, wide, 1),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide),
            _between(config),
            *_gates(config, half, cell),
            nn.Conv2d(half, width, 1),
        )
        self.feed = nn.Sequential(
            LayerNorm(width, affine=True, eps=1e-6), nn.Conv2d(width, wide, 1), _between(config), nn.Conv2d(half, width, 1)
        )
        self.beta, self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1)), nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Images) -> Images:
        x = x + self.beta * self.mix(x)
        return x + self.gamma * self.feed(x)


def _stage(config: Config, level: int, count: int) -> nn.Sequential:
    kind = Block if config.convolution == "full" else DepthwiseBlock
    return nn.Sequential(*(kind(config, config.width << level, config.window // (config.fold << level)) for _ in range(count)))


def _between(config: Config) -> nn.Module:
    return Split() if config.between == "split" else nn.ReLU(inplace=True)


def _gates(config: Config, width: int, cell: int) -> list[nn.Module]:
    gates: list[nn.Module] = []
    if config.channel_gate != "none":
        gates.append(ChannelGate(config.channel_gate, width, reduction=config.reduction, cell=cell))
    if config.pixel_gate != "none":
        gates.append(PixelGate(config.pixel_gate, width, reduction=config.reduction))
    return gates


def _context(network: Gated, config: Config) -> int | None:
    """The sum of all reaches, each in pixels of its own size; that of a window is two cells wherever its pixel lies.

    A pixel also sees all of the coarsest one that it is part of. The enlarged image itself reaches two pixels, which is less.
    """
    if config.channel_gate != "none" and not config.window:
        return None
    stages = [*enumerate(network.encoder), (len(config.encoder), network.middle), *enumerate(reversed(network.decoder))]
    reach = config.fold * 2 + config.multiple + (fill.reach(config.fill) if config.fill else 0)
    for level, stage in stages:
        for part in stage.modules():
            if isinstance(part, Block | DepthwiseBlock | PixelGate):
                reach += part.reach * config.fold << level
            elif isinstance(part, ChannelGate):
                reach += 2 * config.window
    return reach
