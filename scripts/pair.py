"""Two restorers, for grey and for colour images, become the one that is bundled under a name.

python -m scripts.pair runs/restore-grey runs/restore restore
"""

import dataclasses
import sys
from pathlib import Path

import torch

from scripts.bundle import main as bundle
from sfumato.models import MODELS
from sfumato.models.base import Deblurs
from sfumato.store import checkpoint, weights


def joined(grey: str, colour: str, target: Path) -> Path:
    """Writes both networks as one model to `target`, with a card that says where either comes from. Returns `target`."""
    parts = {"grey": weights.load(grey), "colour": weights.load(colour)}
    if isinstance(parts["colour"], Deblurs):  # what they share, the inverse filters, has no weights
        config = dataclasses.replace(parts["colour"].config, grey=parts["grey"].config.corrector)
        networks = {"grey": parts["grey"].corrector, "corrector": parts["colour"].corrector}
    else:
        networks = {name: getattr(part, name, part) for name, part in parts.items()}
        config = MODELS["paired"](**{name: getattr(part.config, name, part.config) for name, part in parts.items()})
    model = config.build()
    model.load_state_dict({f"{name}.{key}": w for name, network in networks.items() for key, w in network.state_dict().items()})
    cards = {name: part.card.get(name, part.card) for name, part in parts.items()}
    sums = {key: sum(card[key] for card in cards.values()) for key in ("images_seen", "minutes")}
    checkpoint.save(target, model, config, {**cards["colour"], **cards, **sums})
    return target


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    one, other, name = sys.argv[1:4]
    bundle(joined(one, other, Path("runs") / f"{name}-pair" / "model.safetensors"), name)
