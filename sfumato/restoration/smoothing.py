"""A network that is followed by a gentle bilateral filter, for noise of which it leaves a part.

The bundled network was trained on white noise. Of noise whose neighbours are alike, it leaves the coarse part, which lies far below the
edges of the picture.
"""

from typing import final

from sfumato.classical.bilateral import RADIUS, bilateral
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Restorer

_COLOUR = 2 / 255
"""Difference of neighbours that is noise. For simulated cameras 3 to 5 gain a little more; where the network leaves hardly any noise, they
cost detail."""


@final
class Smoothed(Restorer):
    """A network of the same size of input and output, whose output is smoothed."""

    def __init__(self, network: Restorer) -> None:
        super().__init__()
        self.network = network
        self.channels, self.scale, self.pad_multiple = network.channels, network.scale, network.pad_multiple
        self.conditioning, self.has_grey_path = network.conditioning, network.has_grey_path
        reach = network.receptive_radius
        self.receptive_radius = None if reach is None else reach + RADIUS

    @property
    def tile_multiple(self) -> int:
        return self.network.tile_multiple

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return bilateral(self.network.restore(degraded, planes), colour=_COLOUR)
