"""Blur of a lens out of focus: every point becomes a disk."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.chance import Draws
from sfumato.core.image import PerImage
from sfumato.core.settings import Range, settings
from sfumato.degrade.base import Degraded, Span, blurred, ordered


@settings
class Config:
    radius: Annotated[Span, Range(0, 30, "pixels")] = (2.0, 2.0)
    """Radius of the disk; below half a pixel the image stays as it is."""

    def check(self) -> None:
        ordered(self, "radius")

    def __call__(self, seen: Degraded, draws: Draws) -> Degraded:
        kernels = disk(draws.within(*self.radius), reach=math.ceil(self.radius[1]))
        return blurred(seen, kernels)


def disk(radius: PerImage, *, reach: int, fine: int = 8) -> Float[Tensor, "n k k"]:
    """Normalised disks; a pixel on the rim counts by how many of its `fine` x `fine` points lie inside."""
    place = (torch.arange((2 * reach + 1) * fine, device=radius.device) + 0.5) / fine - 0.5 - reach
    far = (place[:, None].square() + place.square()).sqrt()
    # Never smaller than half a pixel: the middle pixel alone, which changes nothing.
    inside = (far <= radius[:, None, None].clamp_min(0.5)).float()
    k = 2 * reach + 1
    weights = inside.reshape(-1, k, fine, k, fine).sum(dim=(2, 4))
    return weights / weights.sum(dim=(1, 2), keepdim=True)
