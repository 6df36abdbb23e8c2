"""FSRCNN: fast super-resolution of the luma (Dong et al. 2016, https://arxiv.org/abs/1608.00367).

    luma ─ 5x5 ─ prelu ─ shrink ─ prelu ─ [3x3 ─ prelu] x depth ─ expand ─ prelu ─ 9x9 transposed, stride = scale ─ enlarged luma

The network knows the luma alone, as MATLAB's rgb2ycbcr has it: from 16/255 for black to 235/255 for white. The colour of an RGB image is
enlarged by bicubic interpolation, and its luma is replaced; other images are enlarged channel by channel.
"""

from typing import Annotated, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.channels import luma
from sfumato.nn.resample import resize

_BLACK, _RANGE = 16 / 255, 219 / 255


@settings
class Config:
    """Settings of an FSRCNN."""

    id = "fsrcnn"
    channels: Annotated[int, Range(1, 16, "channels")] = 3
    """Channels of the images: 1 for grey, 3 for RGB. The layers see one."""
    width: Annotated[int, Range(1, 1024, "channels")] = 56
    """Channels of the first and of the last maps."""
    narrow: Annotated[int, Range(1, 1024, "channels")] = 12
    """Channels of the maps in between."""
    depth: Annotated[int, Range(0, 64, "convolutions")] = 4
    """3x3 convolutions in between."""
    scale: Annotated[int, Range(2, 4, "times")] = 4
    """Enlargement of height and width."""

    def build(self) -> "Fsrcnn":
        return Fsrcnn(self)


@final
class Fsrcnn(Restorer):
    """Super-resolution network for the luma."""

    has_grey_path = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, config.scale, 1
        self.receptive_radius = 2 + config.depth + 2
        self.conditioning: tuple[Plane, ...] = ()
        layers: list[nn.Module] = [nn.Conv2d(1, config.width, 5, 1, 2), nn.PReLU(config.width)]
        layers += [nn.Conv2d(config.width, config.narrow, 1), nn.PReLU(config.narrow)]
        for _ in range(config.depth):
            layers += [nn.Conv2d(config.narrow, config.narrow, 3, 1, 1), nn.PReLU(config.narrow)]
        layers += [nn.Conv2d(config.narrow, config.width, 1), nn.PReLU(config.width)]
        self.layers = nn.Sequential(*layers)
        self.enlarge = nn.ConvTranspose2d(config.width, 1, 9, config.scale, 4, output_padding=config.scale - 1)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        n, c, h, w = degraded.shape
        if c != 3:
            return self._enlarged(degraded.reshape(n * c, 1, h, w)).reshape(n, c, h * self.scale, w * self.scale)
        coloured = resize(degraded, (h * self.scale, w * self.scale))
        # The same number added to all channels changes the luma alone.
        return coloured + self._enlarged(luma(degraded)) - luma(coloured)

    def _enlarged(self, grey: Images) -> Maps:
        x = (_BLACK + _RANGE * grey).contiguous(memory_format=torch.channels_last)
        return (self.enlarge(self.layers(x)).float() - _BLACK) / _RANGE
