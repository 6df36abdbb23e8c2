"""A degradation of your own: faded paper, and a restorer that learns to undo it.

    python own_degradation.py data=photos/ budget=10min
    python own_degradation.py data=drawings images=20000

Arguments are settings of the recipe `denoise`, which trains on squares cut out of pictures of any size.
"""

import dataclasses
import sys
from typing import Annotated

import torch

import sfumato as sf
from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered, spread


@sf.register
@settings
class Fade:
    """Contrast is lost towards white."""

    id = "fade"
    strength: Annotated[Span, Range(0, 1)] = (0.2, 0.6)
    """Share of the contrast that is lost; each image draws its own."""

    def check(self) -> None:
        ordered(self, "strength")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        lost = spread(draws.within(*self.strength))
        return dataclasses.replace(degraded, images=degraded.images * (1 - lost) + lost)


recipe = sf.override(dataclasses.replace(sf.recipe("denoise"), degrade=Fade()), *sys.argv[1:])
model = sf.fit(recipe)
ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
faded = sf.degrade(Fade(strength=(0.4, 0.4)), ramp, rng=torch.Generator().manual_seed(0)).images
restored = sf.apply_restorer(model, faded)
print(f"mean error: {(faded - ramp).abs().mean():.3f} faded, {(restored - ramp).abs().mean():.3f} restored")
