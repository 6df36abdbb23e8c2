"""Dust, hairs and scratches of a print, found by the bundled network `dust`.

picture ─ luma ─ network in tiles ─> share of damage ─ threshold, grown by a pixel ─> mask
"""

from sfumato.core.device import select_device
from sfumato.core.tensors import Images, Planes
from sfumato.nn.channels import luma
from sfumato.nn.dilation import dilated_by_square
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.request import DETECTOR, RestorationRequest
from sfumato.restoration.tiles import run_network

_LEAST = 0.3
"""Share of damage from which on a pixel is filled in. Half would leave the soft edges of specks."""
_GROW = 1
"""Pixels by which damage is enlarged in every direction."""


def undamaged(images: Images, request: RestorationRequest, networks: Networks) -> Planes:
    """1 where the one picture in `images` is undamaged, 0 on dust, hairs and scratches."""
    network, device, grey = networks.opened(DETECTOR), select_device(request.device), luma(images)
    size, taken = (images.shape[2], images.shape[3]), BASE + images.numel() * 12
    tile = request.tile or networks.tile(network, size, request.memory, lambda allowed: allowed - taken)
    shares = run_network(networks.ready(network, device), grey, device, name=networks.name(network), tile=tile, precision=request.precision)
    return 1 - dilated_by_square((shares > _LEAST).to(images), _GROW)
