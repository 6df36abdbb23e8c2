"""Additive white Gaussian noise, y = x + sigma e."""

import dataclasses
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered, spread
from sfumato.nn.channels import colourless


@settings
class Config:
    """Settings of Gaussian noise."""

    id = "noise"
    sigma: Annotated[Span, Range(0, 1, "of full scale")] = (0.098, 0.098)
    """Standard deviation of the noise, drawn uniformly; 25/255 is 0.098."""
    grey: Annotated[float, Range(0, 1, "probability")] = 0.0
    """Probability that all channels of an image get the same noise, as film grain does. An image with equal channels always stays grey."""

    def check(self) -> None:
        ordered(self, "sigma")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        sigma, same = draws.within(*self.sigma), (draws.uniform() < self.grey) | colourless(degraded.images)
        noise = draws.normal(*degraded.images.shape[1:])
        noise = noise.where(~spread(same), noise[:, :1])
        return dataclasses.replace(
            degraded, images=degraded.images + spread(sigma) * noise, noise=(degraded.noise.square() + sigma.square()).sqrt()
        )
