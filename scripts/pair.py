"""Two restorers, for grey and for colour images, become the one that is bundled under a name.

python -m scripts.pair runs/restore-grey runs/restore restore
"""

import dataclasses
import sys
from pathlib import Path

import torch

from scripts.bundle import main as bundle
from sfumato.models import MODELS
from sfumato.models.roles.restorer import Deblurrer
from sfumato.store import checkpoint, weights
from sfumato.store.cards import Origin


def joined(grey: str, colour: str, target: Path) -> Path:
    """Writes both networks as one model to `target`, with a card that says where either comes from. Returns `target`."""
    parts = {"grey": weights.load(grey), "colour": weights.load(colour)}
    # Of those that deblur, the correctors are paired: what is before them has no weights.
    place = "corrector" if isinstance(parts["colour"].network, Deblurrer) else ""
    networks = {name: getattr(inner := part.network.get_submodule(place), name, inner) for name, part in parts.items()}
    inside = {name: getattr(part.config, place) if place else part.config for name, part in parts.items()}
    config = MODELS["paired"](**{name: getattr(part, name, part) for name, part in inside.items()})
    if place:
        config = dataclasses.replace(parts["colour"].config, corrector=config)
    model = config.build()
    pair: torch.nn.Module = model.get_submodule(place)
    pair.load_state_dict({f"{name}.{key}": w for name, network in networks.items() for key, w in network.state_dict().items()})
    grey_card, colour_card = (dataclasses.replace(getattr(part.card, name) or part.card, metrics=()) for name, part in parts.items())
    totals = [card.total_training() for card in (grey_card, colour_card)]
    card = dataclasses.replace(
        colour_card,
        started_from=Origin(),
        grey=grey_card,
        colour=colour_card,
        images_seen=int(sum(total["images_seen"] for total in totals)),
        minutes=round(sum(total["minutes"] for total in totals), 2),
    )
    checkpoint.save(target, model, config, card)
    return target


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    one, other, name = sys.argv[1:4]
    bundle(joined(one, other, Path("runs") / f"{name}-pair" / "model.safetensors"), name)
