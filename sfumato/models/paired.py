"""Two restorers in one model file: one for grey images, one for colour images.

The channels of a colour image carry information about each other's noise; a grey image has only its neighbouring pixels. One network for
both would divide its maps between them. The two are trained separately, each by its own recipe, and joined by `scripts/pair.py`.
"""

import math
from typing import final

from sfumato.core.config import changed, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models import MODELS
from sfumato.models.base import NetworkSettings, build_as, channels_of
from sfumato.models.roles.graph import ExportGraph
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.channels import luma


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
        if len({(part.scale, part.conditioning) for part in parts}) > 1:
            facts = " and ".join(f"scale {part.scale} with planes {part.conditioning or 'none'}" for part in parts)
            raise SettingError(f"paired: the networks for grey and colour have {facts}; both must have the same scale and planes")
        self.channels, self.scale, self.conditioning = self.colour.channels, self.colour.scale, self.colour.conditioning
        self.pad_multiple = math.lcm(*(part.pad_multiple for part in parts))
        radii = [part.receptive_radius for part in parts if part.receptive_radius is not None]
        self.receptive_radius = max(radii) if len(radii) == len(parts) else None

    @property
    def tile_multiple(self) -> int:
        return math.lcm(self.grey.tile_multiple, self.colour.tile_multiple)

    def with_luma_apart(self) -> Restorer:
        return LumaApart(self) if self.channels == 3 else self

    def export_graphs(self) -> dict[str, ExportGraph]:
        parts = {"colour": self.colour, "grey": self.grey}
        return {name: graph for name, part in parts.items() for graph in part.export_graphs().values()}

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return (self.grey if degraded.shape[1] == 1 else self.colour).restore(degraded, planes)


@final
class LumaApart(Restorer):
    """A pair in which the luma of colour images comes from the network for grey ones, and the rest from the network for colour.

    A JPEG stores the luma by itself and most of its detail there, at the full resolution: for luma the network for grey images knows more.
    """

    channels, has_grey_path = 3, True

    def __init__(self, pair: Paired) -> None:
        super().__init__()
        self.pair = pair
        self.scale, self.pad_multiple, self.receptive_radius = pair.scale, pair.pad_multiple, pair.receptive_radius
        self.conditioning = pair.conditioning

    @property
    def tile_multiple(self) -> int:
        return self.pair.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        output = self.pair.restore(degraded, planes)
        if degraded.shape[1] == 1:
            return output
        # The same number added to all channels changes the luma alone.
        return output + self.pair.grey.restore(luma(degraded), planes) - luma(output)


def _built(config: NetworkSettings, guides: int) -> Restorer:
    return build_as(Restorer, config, *([guides] if guides else []), name="paired: a part")
