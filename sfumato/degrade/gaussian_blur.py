"""Gaussian blur, round or stretched along a random direction."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.chance import Draws
from sfumato.core.settings import Range, settings
from sfumato.degrade.base import Degraded, Span, blurred, ordered


@settings
class Config:
    sigma: Annotated[Span, Range(0, 20, "pixels")] = (1.6, 1.6)
    """Standard deviation; 0 leaves the image as it is."""
    stretch: Annotated[Span, Range(1, 10)] = (1.0, 1.0)
    """How much shorter the blur is across its long direction; 1 is round."""

    def check(self) -> None:
        ordered(self, "sigma", "stretch")

    def __call__(self, seen: Degraded, draws: Draws) -> Degraded:
        long = draws.within(*self.sigma)
        short, angle = long / draws.within(*self.stretch), draws.within(0, math.pi)
        return blurred(seen, kernel(long, short, angle, reach=math.ceil(3.5 * self.sigma[1])))


def kernel(long: Tensor, short: Tensor, angle: Tensor, *, reach: int) -> Float[Tensor, "n k k"]:
    """Normalised Gaussian kernels with these standard deviations along and across `angle` (radians, from the row), sampled at pixels."""
    place = torch.arange(-reach, reach + 1, dtype=torch.float32, device=long.device)
    y, x = torch.meshgrid(place, place, indexing="ij")
    a, long, short = (v[:, None, None] for v in (angle, long.clamp_min(1e-3), short.clamp_min(1e-3)))
    along, across = x * a.cos() + y * a.sin(), y * a.cos() - x * a.sin()
    weights = torch.exp(-((along / long).square() + (across / short).square()) / 2)
    return weights / weights.sum(dim=(1, 2), keepdim=True)
