"""Two restorers in one model file: one for grey images, one for colour images.

The channels of a colour image carry information about each other's noise; a grey image has only its neighbouring pixels. One network for
both would divide its maps between them. The two are trained separately, each by its own recipe, and joined by `scripts/pair.py`.
"""

import math
from typing import final

from sfumato.core.config import changed, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models import MODELS
from sfumato.models.base import NetworkSettings, build_as, channels_of
from sfumato.models.roles.graph import ExportGraph
from sfumato.models.roles.restorer import LumaApart, Restorer, check_alike


@settings
class Config:
    """Settings of a pair of restorers, for grey and for colour images."""

    id = "paired"
    grey: NetworkSettings = MODELS["gated"](channels=1)
    """Settings of the network for grey images; channels is set to 1."""
    colour: NetworkSettings = MODELS["gated"]()
    """Settings of the network for colour images."""

    @property
    def channels(self) -> int:
        """Channels of the network for colour images: 3 for RGB."""
        return channels_of(self.colour)

    def build(self, guides: int = 0) -> "Paired":
        """A new pair of networks, each of which takes `guides` further images, as in `models/gated.py`."""
        return Paired(self, guides)


@final
class Paired(Restorer):
    """Restorer that passes grey images to one network and colour images to another."""

    has_grey_path = True

    def __init__(self, config: Config, guides: int = 0) -> None:
        super().__init__()
        self.grey, self.colour = (_built(part, guides) for part in (changed(config.grey, channels=1), config.colour))
        parts = (self.grey, self.colour)
        check_alike(*parts)
        self.channels, self.scale, self.conditioning = self.colour.channels, self.colour.scale, self.colour.conditioning
        self.pad_multiple = math.lcm(*(part.pad_multiple for part in parts))
        radii = [part.receptive_radius for part in parts if part.receptive_radius is not None]
        self.receptive_radius = max(radii) if len(radii) == len(parts) else None

    @property
    def tile_multiple(self) -> int:
        return math.lcm(self.grey.tile_multiple, self.colour.tile_multiple)

    def with_luma_apart(self) -> Restorer:
        return LumaApart(self.grey, self.colour) if self.channels == 3 else self

    def export_graphs(self) -> dict[str, ExportGraph]:
        parts = {"colour": self.colour, "grey": self.grey}
        return {name: graph for name, part in parts.items() for graph in part.export_graphs().values()}

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return (self.grey if degraded.shape[1] == 1 else self.colour).restore(degraded, planes)


def _built(config: NetworkSettings, guides: int) -> Restorer:
    return build_as(Restorer, config, *([guides] if guides else []), name="paired: a part")
