"""Convolutional networks with attention gates, flat or as a U-Net. Settings reproduce several attention networks of the literature.

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
from sfumato.nn.fused import Shortcut, Sums
from sfumato.nn.norm import LayerNorm
from sfumato.nn.resample import enlarge, shrink

_REACHED = 5
"""Pixels of the image from which a step of back-projection takes something: cubic kernels of two pixels each way, there and back."""


@settings
class Config:
    """Settings of a network with attention gates."""

    id = "gated"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 32
    """Channels of the finest hidden maps; each halving of the size doubles them."""
    encoder: Annotated[tuple[int, ...], Range(0, 64, "blocks")] = ()
    """Blocks at each size of the encoder, finest first; empty for a flat network."""
    middle: Annotated[int, Range(0, 256, "blocks")] = 8
    """Blocks at the coarsest size."""
    decoder: Annotated[tuple[int, ...], Range(0, 64, "blocks")] = ()
    """Blocks at each size of the decoder, coarsest first; as many sizes as the encoder."""
    convolution: Literal["full", "depthwise"] = "full"
    """Type of block: two 3x3 convolutions, or that of NAFNet: 1x1, depthwise 3x3 and 1x1, then 1x1 and 1x1."""
    between: Literal["relu", "split"] = "relu"
    """Nonlinearity between convolutions: ReLU, or the product of the two halves of twice as many channels."""
    channel_gate: ChannelKind = "none"
    """Attention over channels."""
    pixel_gate: PixelKind = "none"
    """Attention over pixels."""
    reduction: Annotated[int, Range(1, 64)] = 4
    """Factor by which the channels are reduced inside a gate."""
    window: Annotated[int, Range(0, 1024, "pixels")] = 0
    """Side of the cells for the statistics of channel attention, which cover a cell and its neighbours, so that tiles agree with the whole
    image; 0 takes statistics over the whole image."""
    fold: Annotated[int, Range(1, 8, "pixels")] = 1
    """Side of the squares that are folded into channels (pixel unshuffle) before the first convolution."""
    scale: Annotated[int, Range(1, 8)] = 1
    """Enlargement of height and width."""
    back_projections: Annotated[int, Range(0, 8, "steps")] = 0
    """Steps after an enlargement that bring its reduction back to the image: iterative back-projection (Irani & Peleg 1991)."""
    planes: tuple[Plane, ...] = ()
    """Planes that condition the network beside the image: noise level, mask of observed pixels, JPEG quality."""
    residual: bool = True
    """Adds the input image to the output, so that training starts near the identity."""
    fill: Annotated[int, Range(0, 8)] = 0
    """Fills missing pixels before the network with averages of observed ones, over this many halvings of the size; 0 does not fill.
    Needs the plane observed."""
    extremes: bool = False
    """Adds channels that mark samples at or beyond 0 and 1 (salt and pepper noise)."""

    def check(self) -> None:
        if len(self.encoder) != len(self.decoder):
            raise SettingError(f"gated: encoder has {len(self.encoder)} sizes, decoder {len(self.decoder)}; both must have the same number")
        if self.fill and "observed" not in self.planes:
            raise SettingError(f"gated: fill = {self.fill} needs the mask of observed pixels; add observed to planes, or set fill to 0")
        if self.back_projections and self.scale == 1:
            raise SettingError(f"gated: back_projections = {self.back_projections} at scale = 1 has no effect; leave it at 0")
        if self.window % self.multiple:
            raise SettingError(f"gated: window = {self.window} must be a multiple of {self.multiple}, the coarsest map's pixel side")

    @property
    def multiple(self) -> int:
        """Side in image pixels of one pixel of the coarsest map."""
        return max(self.fold << len(self.encoder), 1 << self.fill)

    def build(self, guides: int = 0) -> "Gated":
        """A new network. It takes `guides` further images of the same size; their channels are the first of its planes."""
        return Gated(self, guides)


@final
class Gated(Restorer, Sums):
    """Restoration network with attention gates, flat or as a U-Net."""

    output_part = "tail"

    def __init__(self, config: Config, guides: int = 0) -> None:
        super().__init__()
        self.channels, self.scale, self.fold, self.conditioning = config.channels, config.scale, config.fold, config.planes
        self.extremes, self.pad_multiple, self.residual = config.extremes, config.multiple, config.residual
        self.window, self.fill, self.guides, self.back_projections = config.window, config.fill, guides, config.back_projections
        depth = len(config.encoder)
        head_channels = config.channels * (1 + config.extremes + guides) + len(config.planes)
        self.head = nn.Conv2d(head_channels * config.fold**2, config.width, 3, 1, 1)
        self.encoder, self.down, self.up, self.decoder = (nn.ModuleList() for _ in range(4))
        for i in range(depth):
            width = config.width << i
            self.encoder.append(_stage(config, i, config.encoder[i]))
            self.down.append(nn.Conv2d(width, 2 * width, 2, 2))
            self.up.insert(0, nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1, bias=False), nn.PixelShuffle(2)))
            self.decoder.append(_stage(config, depth - 1 - i, config.decoder[i]))
        self.middle = _stage(config, depth, config.middle)
        self.tail = nn.Conv2d(config.width, config.channels * (config.fold * config.scale) ** 2, 3, 1, 1)
        self.receptive_radius = _receptive_radius(self, config)

    @property
    def tile_multiple(self) -> int:
        return self.window or self.pad_multiple

    @property
    def plane_channels(self) -> int:
        return len(self.conditioning) + self.channels * self.guides

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
            x = stage(self.total(up(x), skips.pop()))
        output = F.pixel_shuffle(self.tail(x).float(), self.fold * self.scale)
        if not self.residual:
            return output
        output = self.total(output, degraded if self.scale == 1 else enlarge(degraded, self.scale))
        for _ in range(self.back_projections):
            output = self.total(output, enlarge(degraded.float() - shrink(output, self.scale), self.scale))
        return output

    def _head_input(self, degraded: Images, planes: Planes | None) -> Maps:
        parts = [degraded]
        if self.extremes:
            parts.append(((degraded <= 0) | (degraded >= 1)).to(degraded.dtype))
        if self.conditioning or self.guides:
            assert planes is not None
            parts.append(planes)
        return torch.cat(parts, dim=1)


class Block(Shortcut):
    """Residual block: x plus two 3x3 convolutions, followed by gates. It starts as the identity: the last convolution gives zeros."""

    receptive_radius = 2
    starts_as_identity = True

    def __init__(self, config: Config, width: int, cell: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, 1, 1)
        for weight in last.parameters():
            nn.init.zeros_(weight)
        wide = 2 * width if config.between == "split" else width
        self.body = nn.Sequential(nn.Conv2d(width, wide, 3, 1, 1), _between(config), last, *_gates(config, width, cell))


class DepthwiseBlock(nn.Module):
    """Block of NAFNet: x plus 1x1, depthwise 3x3, gates and 1x1; then x plus 1x1 and 1x1. Both start as the identity."""

    receptive_radius = 1
    starts_as_identity = True

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


def _receptive_radius(network: Gated, config: Config) -> int | None:
    """Receptive radius of `network` in image pixels; None if channel attention covers the whole image.

    The sum of the radii of all blocks and gates, each scaled by the size of its maps. A windowed gate adds two cells. Each pixel also
    depends on the whole of its pixel in the coarsest map. The radius of the enlarged input image, two pixels, is smaller.
    """
    if config.channel_gate != "none" and not config.window:
        return None
    stages = [*enumerate(network.encoder), (len(config.encoder), network.middle), *enumerate(reversed(network.decoder))]
    reach = config.fold * 2 + config.multiple + _REACHED * config.back_projections
    reach += fill.receptive_radius(config.fill) if config.fill else 0
    for level, stage in stages:
        for part in stage.modules():
            if isinstance(part, Block | DepthwiseBlock | PixelGate):
                reach += part.receptive_radius * config.fold << level
            elif isinstance(part, ChannelGate):
                reach += 2 * config.window
    return reach
