"""Which weights of a discriminator a new set of images leaves as they are (freeze-D, Mo et al. 2020, https://arxiv.org/abs/2002.10964)."""

import torch
from torch import Tensor, nn

from sfumato.core.errors import SettingError
from sfumato.models.roles.style_generator import AdversarialGenerator


def trained(model: AdversarialGenerator, freeze: int) -> list[nn.Parameter]:
    """The discriminator's weights, without those of the layers that see maps of the `freeze` finest sizes.

    Raises SettingError if there are no more than `freeze` sizes.
    """
    if not freeze:
        return list(model.discriminator.parameters())
    sizes = _sizes(model)
    finest = sorted(set(sizes.values()), reverse=True)
    if freeze >= len(finest):
        raise SettingError(
            f"freeze = {freeze} leaves nothing to train: the discriminator has {len(finest)} sizes; give at most {len(finest) - 1}"
        )
    still = {weight for weight, size in sizes.items() if size in finest[:freeze]}
    return [weight for weight in model.discriminator.parameters() if weight not in still]


def _sizes(model: AdversarialGenerator) -> dict[nn.Parameter, int]:
    """The pixels of the maps that each weight is applied to; weights that see vectors see the fewest."""
    sizes: dict[nn.Parameter, int] = {}

    def look(module: nn.Module, inputs: tuple[object, ...]) -> None:
        seen = next((x for x in inputs if isinstance(x, Tensor)), None)
        pixels = seen.shape[2] * seen.shape[3] if seen is not None and seen.ndim == 4 else 0
        for weight in module.parameters(recurse=False):
            sizes[weight] = max(pixels, sizes.get(weight, 0))

    hooks = [module.register_forward_pre_hook(look) for module in model.discriminator.modules()]
    device, training = next(model.discriminator.parameters()).device, model.training
    labels = torch.zeros(4, dtype=torch.int64, device=device) if model.classes else None
    with torch.no_grad():
        model.eval().discriminate(torch.zeros(4, model.channels, *model.size, device=device), labels)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return sizes
