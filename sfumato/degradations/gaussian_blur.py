"""Gaussian blur, isotropic or with a longer axis in a random direction."""

import math
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, blurred, ordered
from sfumato.nn.blurs import gaussian


@settings
class Config:
    """Settings of Gaussian blur."""

    id = "gaussian_blur"
    sigma: Annotated[Span, Range(0, 20, "pixels")] = (1.6, 1.6)
    """Standard deviation along the longer axis, drawn uniformly; 0 leaves the image unchanged."""
    stretch: Annotated[Span, Range(1, 10)] = (1.0, 1.0)
    """Ratio of the longer to the shorter axis, drawn uniformly; 1 is isotropic."""

    def check(self) -> None:
        ordered(self, "sigma", "stretch")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        long = draws.within(*self.sigma)
        short, angle = long / draws.within(*self.stretch), draws.within(0, math.pi)
        return blurred(degraded, gaussian(long, short, angle, reach=math.ceil(3.5 * self.sigma[1])))
