"""Two restorers in one file: one for grey images, one for all others.

In a colour image, one channel says much about the noise of another; in a grey one the pixels around are all there is. One network for
both gives half its maps to either. Trained apart, each by a recipe of its own, and joined by `scripts/pair.py`.
"""

import dataclasses
import math
from typing import Any, final

from sfumato.core.config import settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models import MODELS
from sfumato.models.base import build_as
from sfumato.models.roles.restorer import Restorer


@settings
class Config:
    id = "paired"
    grey: Any = MODELS["gated"](channels=1)
    """Settings of the network for grey images. It takes one channel, whatever they say."""
    colour: Any = MODELS["gated"]()
    """Settings of the network for all others."""

    @property
    def channels(self) -> int:
        """3 for RGB: what the network for colour takes."""
        return self.colour.channels

    def build(self, guides: int = 0) -> "Paired":
        """With `guides`, both networks take as many further images, as in `models/gated.py`."""
        return Paired(self, guides)


@final
class Paired(Restorer):
    has_grey_path = True

    def __init__(self, config: Config, guides: int = 0) -> None:
        super().__init__()
        self.grey, self.colour = (_built(part, guides) for part in (dataclasses.replace(config.grey, channels=1), config.colour))
        parts = (self.grey, self.colour)
        if len({(part.scale, part.conditioning) for part in parts}) > 1:
            raise SettingError("paired: both networks must have one scale and one conditioning")
        self.channels, self.scale, self.conditioning = self.colour.channels, self.colour.scale, self.colour.conditioning
        self.pad_multiple = math.lcm(*(part.pad_multiple for part in parts))
        radii = [part.receptive_radius for part in parts if part.receptive_radius is not None]
        self.receptive_radius = max(radii) if len(radii) == len(parts) else None

    @property
    def tile_multiple(self) -> int:
        return math.lcm(self.grey.tile_multiple, self.colour.tile_multiple)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return (self.grey if degraded.shape[1] == 1 else self.colour).restore(degraded, planes)


def _built(config: Any, guides: int) -> Restorer:
    return build_as(Restorer, config, *([guides] if guides else []), name="paired: a part")
