"""Fewer pixels: MATLAB's bicubic, the mean of an area, or every n-th pixel."""

import dataclasses
from typing import Annotated, Literal

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded
from sfumato.nn.resample import shrink


@settings
class Config:
    id = "downsample"
    factor: Annotated[int, Range(1, 16, "pixels become one, per side")] = 2
    """How much shorter the sides become; they are rounded up."""
    method: Literal["bicubic", "area", "nearest"] = "bicubic"
    """How pixels are brought together."""

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """A new pixel is `observed` if all of those that it was made from were, as far as the nearest `factor` x `factor` go."""
        images = shrink(degraded.images, self.factor, method=self.method)
        observed = (shrink(degraded.observed, self.factor, method="area") > 1 - 1e-4).to(images.dtype)
        return dataclasses.replace(degraded, images=images, observed=observed)
