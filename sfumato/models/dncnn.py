"""Denoising networks that are plain chains of convolutions.

dncnn     Zhang et al. 2017, https://arxiv.org/abs/1608.03981: predicts the noise, which is subtracted
fdncnn    takes the noise level as a plane and predicts the clean image
ffdnet    Zhang et al. 2018, https://arxiv.org/abs/1710.04026: as fdncnn on the image folded 2x2, four times as fast

images ─ fold ─┬─ head ─ act ─ [body ─ (norm) ─ act] x depth - 2 ─ tail ─ unfold ─ (images - ...) ─ clean
noise ─────────┘
"""

from typing import Annotated, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.norm import BatchNorm


@settings
class Config:
    """Settings of a DnCNN or FFDNet."""

    id = "dncnn"
    channels: Annotated[int, Range(1, 16, "channels")] = 1
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 1024, "channels")] = 64
    """Channels of the hidden maps."""
    depth: Annotated[int, Range(2, 64, "convolutions")] = 17
    """Number of convolutions."""
    residual: bool = True
    """Predicts the noise, which is subtracted, instead of the clean image."""
    noise_plane: bool = False
    """Adds the noise level as an input plane."""
    fold: Annotated[int, Range(1, 8, "pixels")] = 1
    """Side of the squares that are folded into channels (pixel unshuffle) before the first convolution."""
    normalise: bool = False
    """Applies batch normalisation in the body, which helps training; folded into the convolutions for inference."""

    def build(self) -> "DnCnn":
        return DnCnn(self)


@final
class DnCnn(Restorer):
    """Denoising network: a chain of convolutions with ReLU."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple = config.channels, 1, config.fold
        self.conditioning: tuple[Plane, ...] = ("noise",) if config.noise_plane else ()
        self.receptive_radius = config.depth * config.fold
        self.residual, self.fold = config.residual, config.fold
        folded, w = config.channels * config.fold**2, config.width
        layers: list[nn.Module] = [nn.Conv2d(folded + len(self.conditioning), w, 3, 1, 1), nn.ReLU(inplace=True)]
        for _ in range(config.depth - 2):
            layers.append(nn.Conv2d(w, w, 3, 1, 1, bias=not config.normalise))
            layers += [*([BatchNorm(w)] if config.normalise else []), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(w, folded, 3, 1, 1))

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = F.pixel_unshuffle(degraded, self.fold)
        if self.conditioning:
            assert planes is not None
            x = torch.cat([x, F.avg_pool2d(planes, self.fold)], dim=1)
        output = F.pixel_shuffle(self.layers(x.contiguous(memory_format=torch.channels_last)).float(), self.fold)
        return degraded - output if self.residual else output
