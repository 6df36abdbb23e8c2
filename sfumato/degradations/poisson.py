"""Photon (shot) noise, y = Poisson(k x) / k: the variance of a pixel is its brightness over k."""

import dataclasses
import math
from typing import Annotated

import torch

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered, spread
from sfumato.nn.channels import colourless


@settings
class Config:
    """Settings of photon noise."""

    id = "poisson"
    photons: Annotated[Span, Range(1, 1e6, "photons")] = (50.0, 1000.0)
    """Photons that a white pixel counts, k; drawn uniformly in the logarithm."""

    def check(self) -> None:
        ordered(self, "photons")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Negative values of pixels are taken as 0."""
        photons = draws.within(*map(math.log, self.photons)).exp().tolist()
        rates = degraded.images.float().cpu().clamp_min(0)
        counted = [torch.poisson(x * k, generator=rng) / k for x, k, rng in zip(rates, photons, draws.generators(), strict=True)]
        noisy = torch.stack(counted).to(degraded.images)
        noisy = noisy.where(~spread(colourless(degraded.images)), noisy[:, :1])
        return dataclasses.replace(degraded, images=noisy)
