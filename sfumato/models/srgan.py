"""A restorer and a patch discriminator for adversarial training.

With a super-resolution network this is SRGAN (Ledig et al. 2017, https://arxiv.org/abs/1609.04802); with an inpainting network, a context
encoder (Pathak et al. 2016, https://arxiv.org/abs/1604.07379). The discriminator scores overlapping patches and returns the mean score
(Isola et al. 2017, https://arxiv.org/abs/1611.07004, section 3.2.2), so that images may have any size.

    degraded ─ restorer ─ images
    images ─ conv ─ [down] x depth ─ conv ─ score of each patch ─ mean ─ logit
"""

import itertools
from typing import Annotated, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, PerImage, Planes
from sfumato.models import MODELS
from sfumato.models.base import NetworkSettings, build_as, channels_of
from sfumato.models.roles.restorer import AdversarialRestorer, Restorer
from sfumato.nn.blocks import Down, activation, signed


@settings
class Config:
    """Settings of a restorer with a discriminator."""

    id = "srgan"
    restorer: NetworkSettings = MODELS["gated"]()
    """Settings of the restorer, of any family of restorers."""
    discriminator_width: Annotated[int, Range(1, 1024, "channels")] = 32
    """Channels of the discriminator's finest hidden maps; doubles with every halving of the size, up to eight times this number."""
    discriminator_depth: Annotated[int, Range(1, 8, "halvings")] = 3
    """Halvings of the size in the discriminator: 3 give patches of 40 pixels a side."""

    @property
    def channels(self) -> int:
        """Channels of the restorer: 1 for grey, 3 for RGB."""
        return channels_of(self.restorer)

    def build(self) -> "Srgan":
        return Srgan(self)


@final
class Srgan(AdversarialRestorer):
    """A restorer of any family and a patch discriminator."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        restorer = build_as(Restorer, config.restorer, name="srgan: restorer")
        if restorer.has_discriminator:
            raise SettingError("srgan: restorer has a discriminator of its own; give the settings of a restorer without one, such as gated")
        self.channels, self.scale, self.pad_multiple = restorer.channels, restorer.scale, restorer.pad_multiple
        self.receptive_radius, self.conditioning = restorer.receptive_radius, restorer.conditioning
        self.restorer = restorer
        self.discriminator = Discriminator(config)

    @property
    def tile_multiple(self) -> int:
        return self.restorer.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return self.restorer.restore(degraded, planes)

    def discriminate(self, images: Images) -> PerImage:
        return self.discriminator(images)


class Discriminator(nn.Module):
    """Maps images of any size to the mean score of their patches."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [config.discriminator_width << min(i, 3) for i in range(config.discriminator_depth + 1)]
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 3, 1, 1), activation("leaky-relu")]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [Down(inputs, outputs), activation("leaky-relu")]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], widths[-1], 3, 1, 1), activation("leaky-relu"))
        self.score = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, images: Images) -> PerImage:
        x = self.layers(signed(images)).float()
        # Losses depend on small differences between logits: bf16 would round them away.
        with torch.autocast(x.device.type, enabled=False):
            return self.score(x).mean(dim=(1, 2, 3))
