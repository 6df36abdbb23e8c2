"""Blur of a camera that moved evenly along a line."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.chance import Draws
from sfumato.core.image import PerImage
from sfumato.core.settings import Range, settings
from sfumato.degrade.base import Degraded, Span, blurred, ordered

_STEPS = 16
"""Places of the camera for each pixel of the way."""


@settings
class Config:
    length: Annotated[Span, Range(1, 60, "pixels")] = (9.0, 9.0)
    """Length of the way; 1 leaves the image as it is."""
    angle: Annotated[Span, Range(0, 180, "degrees")] = (0.0, 180.0)
    """Direction of the way, from the horizontal towards the bottom."""

    def check(self) -> None:
        ordered(self, "length", "angle")

    def __call__(self, seen: Degraded, draws: Draws) -> Degraded:
        length, angle = draws.within(*self.length), draws.within(*self.angle) * (math.pi / 180)
        return blurred(seen, way(length, angle, reach=math.ceil(self.length[1] / 2)))


def way(length: PerImage, angle: PerImage, *, reach: int) -> Float[Tensor, "n k k"]:
    """Normalised kernels of a camera on a straight way of `length` pixels at `angle` (radians).

    Each place on the way lights the pixel that it lies in: a way of n pixels along a row is n equal weights.
    """
    count = (2 * reach + 1) * _STEPS
    t = (torch.arange(count, device=length.device) + 0.5) / count - 0.5
    place = torch.arange(-reach, reach + 1, device=length.device)
    offsets = length[:, None] * t
    x, y = ((offsets * part[:, None])[:, :, None].sub(place).abs() < 0.5 for part in (angle.cos(), angle.sin()))
    weights = y.float().mT @ x.float()
    return weights / weights.sum(dim=(1, 2), keepdim=True)
