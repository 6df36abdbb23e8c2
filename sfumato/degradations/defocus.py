"""Defocus blur: every point becomes a disk."""

import math
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, blurred, ordered
from sfumato.nn.blurs import disk


@settings
class Config:
    """Settings of defocus blur."""

    id = "defocus"
    radius: Annotated[Span, Range(0, 30, "pixels")] = (2.0, 2.0)
    """Radius of the disk, drawn uniformly; half a pixel or less leaves the image unchanged."""

    def check(self) -> None:
        ordered(self, "radius")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        kernels = disk(draws.within(*self.radius), reach=math.ceil(self.radius[1]))
        return blurred(degraded, kernels)
