"""Noise whose neighbours are alike: film grain, a scan, a noisy picture that was enlarged. White noise through a Gaussian filter."""

import dataclasses
import math
from typing import Annotated

import torch

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered, spread
from sfumato.nn.blurs import gaussian
from sfumato.nn.channels import colourless
from sfumato.nn.resample import correlate


@settings
class Config:
    """Settings of noise whose neighbours are alike."""

    id = "grain"
    sigma: Annotated[Span, Range(0, 1, "of full scale")] = (0.01, 0.1)
    """Standard deviation of the noise after filtering, drawn uniformly."""
    size: Annotated[Span, Range(0.1, 5, "pixels")] = (0.4, 1.2)
    """Standard deviation of the Gaussian filter, drawn uniformly: about a third of the diameter of a grain."""
    grey: Annotated[float, Range(0, 1, "probability")] = 0.5
    """Probability that all channels get the same noise, as on black and white film. Images without colour always stay without."""

    def check(self) -> None:
        ordered(self, "sigma", "size")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        sigma, size, same = draws.within(*self.sigma), draws.within(*self.size), draws.uniform() < self.grey
        kernels = gaussian(size, size, torch.zeros_like(size), reach=math.ceil(3 * self.size[1]))
        # Filtering white noise leaves the sum of the squared weights of its variance.
        noise = correlate(draws.normal(*degraded.images.shape[1:]), kernels / kernels.square().sum(dim=(1, 2), keepdim=True).sqrt())
        noise = noise.where(~spread(same | colourless(degraded.images)), noise[:, :1])
        level = (degraded.noise.square() + sigma.square()).sqrt()
        return dataclasses.replace(degraded, images=degraded.images + spread(sigma) * noise, noise=level)
