"""Motion blur of a camera that moves uniformly along a straight line."""

import math
from typing import Annotated

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, blurred, ordered
from sfumato.nn.blurs import motion_kernels


@settings
class Config:
    """Settings of motion blur."""

    id = "motion"
    length: Annotated[Span, Range(1, 60, "pixels")] = (9.0, 9.0)
    """Length of the motion, drawn uniformly; 1 leaves the image unchanged."""
    angle: Annotated[Span, Range(0, 180, "degrees")] = (0.0, 180.0)
    """Direction of the motion, from the horizontal towards the bottom, drawn uniformly."""

    def check(self) -> None:
        ordered(self, "length", "angle")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        length, angle = draws.within(*self.length), draws.within(*self.angle) * (math.pi / 180)
        return blurred(degraded, motion_kernels(length, angle, reach=math.ceil(self.length[1] / 2)))
