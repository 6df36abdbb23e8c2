"""Weights of a discriminator that are not trained on a new data set (freeze-D, Mo et al. 2020, https://arxiv.org/abs/2002.10964)."""

import torch
from torch import Tensor, nn

from sfumato.core.errors import SettingError
from sfumato.models.roles.style_generator import AdversarialGenerator


def trainable_weights(model: AdversarialGenerator, freeze: int) -> list[nn.Parameter]:
    """The discriminator's weights, without those of the layers that take maps of the `freeze` finest sizes.

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
    frozen = {weight for weight, size in sizes.items() if size in finest[:freeze]}
    return [weight for weight in model.discriminator.parameters() if weight not in frozen]


def _sizes(model: AdversarialGenerator) -> dict[nn.Parameter, int]:
    """Pixels of the maps that each weight is applied to; 0 for weights that are applied to vectors."""
    sizes: dict[nn.Parameter, int] = {}

    def record(module: nn.Module, inputs: tuple[object, ...]) -> None:
        maps = next((x for x in inputs if isinstance(x, Tensor)), None)
        pixels = maps.shape[2] * maps.shape[3] if maps is not None and maps.ndim == 4 else 0
        for weight in module.parameters(recurse=False):
            sizes[weight] = max(pixels, sizes.get(weight, 0))

    hooks = [module.register_forward_pre_hook(record) for module in model.discriminator.modules()]
    device, training = next(model.discriminator.parameters()).device, model.training
    labels = torch.zeros(4, dtype=torch.int64, device=device) if model.classes else None
    with torch.no_grad():
        model.eval().discriminate(torch.zeros(4, model.channels, *model.size, device=device), labels)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return sizes
