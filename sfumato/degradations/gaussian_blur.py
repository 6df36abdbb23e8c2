"""Gaussian blur, round or stretched along a random direction."""

import math
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, blurred, ordered
from sfumato.nn.blurs import gaussian


@settings
class Config:
    id = "gaussian_blur"
    sigma: Annotated[Span, Range(0, 20, "pixels")] = (1.6, 1.6)
    """Standard deviation; 0 leaves the image as it is."""
    stretch: Annotated[Span, Range(1, 10)] = (1.0, 1.0)
    """How much shorter the blur is across its long direction; 1 is round."""

    def check(self) -> None:
        ordered(self, "sigma", "stretch")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        long = draws.within(*self.sigma)
        short, angle = long / draws.within(*self.stretch), draws.within(0, math.pi)
        return blurred(degraded, gaussian(long, short, angle, reach=math.ceil(3.5 * self.sigma[1])))
