"""What a picture keeps of itself beside a denoiser: details that stand out of the noise, and all that is more than noise.

The spots of a leopard and the pattern of a cloth look like coarse noise to a network, and it removes them. But noise of a camera is equally
strong wherever the picture is equally bright, so its strength is measured in flat parts. What differs by much more is no noise.
"""

import torch

from sfumato.analysis.residual import Strengths
from sfumato.classical.pilot_wiener import pilot_wiener
from sfumato.core.tensors import Images, Maps
from sfumato.nn.channels import colourless, luma
from sfumato.nn.cosine import Powers

_TIMES, _LEAST = 3.0, 1 / 255
"""Greatest change of a value: so many times the standard deviation of the noise, and a rounding error. True noise is hardly ever more."""


def denoised(before: Images, after: Maps, strengths: Strengths, powers: Powers | None) -> Maps:
    """`after`, the output of a denoiser, with the details of `before` by `pilot_wiener` if its `powers` are known, and `limited`."""
    whole = after.expand(-1, before.shape[1], -1, -1)
    result = limited(before, whole if powers is None else pilot_wiener(before, whole, powers), strengths)
    grey = colourless(before) & colourless(whole)
    # On some processors the channels of a grey picture are rounded differently.
    return torch.where(grey[:, None, None, None], result[:, :1], result) if bool(grey.any()) else result


def limited(before: Images, after: Maps, strengths: Strengths) -> Maps:
    """`after`, with values that differ from those of `before` by no more than noise of these strengths explains."""
    table = torch.tensor(strengths, dtype=after.dtype, device=after.device)
    if table.shape[1] != after.shape[1]:
        table = table.mean(dim=1, keepdim=True).expand(-1, after.shape[1])
    place = (luma(after).clamp(0, 1)[:, 0] * len(table) - 0.5).clamp(0, len(table) - 1)
    low = place.long().clamp(max=max(0, len(table) - 2))
    part = (place - low)[..., None]
    strength = torch.lerp(table[low], table[(low + 1).clamp(max=len(table) - 1)], part).movedim(-1, 1)
    bound = _TIMES * strength + _LEAST
    return before + (after - before).clamp(-bound, bound)
