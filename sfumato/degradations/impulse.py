"""Salt and pepper: some pixels are white or black, whatever they were."""

import dataclasses
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, colourless, ordered, spread


@settings
class Config:
    id = "impulse"
    density: Annotated[Span, Range(0, 1, "of the pixels")] = (0.1, 0.1)
    """Share of the pixels that are hit."""
    salt: Annotated[float, Range(0, 1, "of those hit")] = 0.5
    """Share of them that turn white; the others turn black."""
    together: bool = True
    """Whether a pixel's channels are hit together, as on a scan, or each for itself."""

    def check(self) -> None:
        ordered(self, "density")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Pixels that are hit stay `observed`: that they are wrong is for the restorer to see."""
        channels, h, w = degraded.images.shape[1:]
        density = spread(draws.within(*self.density))
        u = draws.uniform(1 if self.together else channels, h, w)
        u = u.where(~spread(colourless(degraded.images)), u[:, :1])
        images = degraded.images.masked_fill(u < density, 0.0).masked_fill(u < density * self.salt, 1.0)
        return dataclasses.replace(degraded, images=images)
