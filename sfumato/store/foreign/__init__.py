"""Other people's weights: read without running anything, recognised by the names and shapes of their tensors, loaded strictly.

    file ─ read ─ tensors ─ recognise ─ settings and state ─ build, load, try ─ network

Each file of this room knows one family's layouts: its `claim` gives what the tensors are, or None. Exactly one must.
"""

from pathlib import Path
from typing import Any

import torch

from sfumato.core.catalog import Catalog
from sfumato.core.errors import CheckpointError
from sfumato.models.base import Restores
from sfumato.store.foreign.base import Found, Tensors, read

LAYOUTS = Catalog(__name__, entry="claim")


def load(path: Path) -> Any:
    """The network whose weights are in `path`, ready for use, with its settings in `config` and where it came from in `card`.

    Raises CheckpointError if the file is damaged or holds anything but tensors, if no family knows its layout or several do, and if
    the weights do not fit.
    """
    tensors, digest = read(path)
    found = recognise(tensors, path)
    network: Any = found.config.build()
    try:
        network.load_state_dict(found.state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: looks like {found.layout}, but does not fit: {' '.join(str(error).split())[:200]}") from error
    network = network.to(memory_format=torch.channels_last).requires_grad_(False).eval()
    _try(network, found, path)
    network.config = found.config
    network.card = {"imported": {"file": path.name, "sha256": digest, "layout": found.layout, "notes": found.notes}, "metrics": []}
    return network


def recognise(tensors: Tensors, path: Path) -> Found:
    """What `tensors` are. Raises CheckpointError, naming those that claim them, unless exactly one family does."""
    claims = [found for name in LAYOUTS for found in [LAYOUTS[name](tensors)] if found is not None]
    if len(claims) == 1:
        return claims[0]
    if claims:
        raise CheckpointError(f"{path}: fits several layouts ({'; '.join(c.layout for c in claims)}), and nothing in it says which")
    first = ", ".join(f"{k} {tuple(v.shape)}" for k, v in list(tensors.items())[:3])
    raise CheckpointError(f"{path}: no known layout; known are {', '.join(LAYOUTS)}; it begins with {first}")


@torch.no_grad()
def _try(network: Any, found: Found, path: Path) -> None:
    """A constant and an edge must come back from a restorer finite and, if it keeps the size, recognisable."""
    if not isinstance(network, Restores):
        return
    image = torch.full((1, network.channels, 32, 32), 0.5)
    image[:, :, :, 16:] = 0.8
    planes = image.new_zeros(1, len(network.takes), 32, 32)
    made = network.restore(image, planes)
    far = (made - image).abs().mean().item() if network.scale == 1 else 0.0
    if not torch.isfinite(made).all() or far > 0.25:
        raise CheckpointError(f"{path}: loads as {found.layout}, but an edge comes back as something else; it is another network")
