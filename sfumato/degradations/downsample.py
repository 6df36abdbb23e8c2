"""Downsampling by MATLAB's bicubic, by the mean of an area, or to every n-th pixel."""

import dataclasses
from typing import Annotated, Literal

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded
from sfumato.nn.resample import shrink


@settings
class Config:
    """Settings of downsampling."""

    id = "downsample"
    factor: Annotated[int, Range(1, 16, "pixels become one, per side")] = 2
    """Factor by which height and width shrink; results are rounded up."""
    method: Literal["bicubic", "area", "nearest"] = "bicubic"
    """Interpolation: bicubic as in MATLAB, mean of an area, or nearest pixel."""

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """A new pixel is observed if the nearest `factor` x `factor` pixels were all observed."""
        images = shrink(degraded.images, self.factor, method=self.method)
        observed = (shrink(degraded.observed, self.factor, method="area") > 1 - 1e-4).to(images.dtype)
        return dataclasses.replace(degraded, images=images, observed=observed)
