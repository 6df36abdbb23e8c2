"""Salt and pepper noise: random pixels become white or black."""

import dataclasses
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered, spread
from sfumato.nn.channels import colourless


@settings
class Config:
    """Settings of salt and pepper noise."""

    id = "impulse"
    density: Annotated[Span, Range(0, 1, "of the pixels")] = (0.1, 0.1)
    """Share of corrupted pixels, drawn uniformly."""
    salt: Annotated[float, Range(0, 1, "of those hit")] = 0.5
    """Share of the corrupted pixels that become white; the others become black."""
    together: bool = True
    """Corrupts all channels of a pixel together, as on a scan, instead of each channel independently."""

    def check(self) -> None:
        ordered(self, "density")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Corrupted pixels stay observed: a restorer has to detect them."""
        channels, h, w = degraded.images.shape[1:]
        density = spread(draws.within(*self.density))
        u = draws.uniform(1 if self.together else channels, h, w)
        u = u.where(~spread(colourless(degraded.images)), u[:, :1])
        images = degraded.images.masked_fill(u < density, 0.0).masked_fill(u < density * self.salt, 1.0)
        return dataclasses.replace(degraded, images=images)
