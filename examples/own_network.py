"""A network of your own: SRCNN's three convolutions (Dong et al. 2014), trained as a denoiser.

    python own_network.py data=photos/ budget=10min
    python own_network.py data=drawings images=20000

Arguments are settings of the recipe `denoise`. docs/plugins.md shows how the commands of `sfumato` find such a network too.
"""

import dataclasses
import sys
from typing import Annotated, final

import torch
from torch import nn

import sfumato as sf
from sfumato.core.config import Range, settings
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.models.roles.restorer import Restorer


@sf.register
@settings
class ThreeLayers:
    id = "three_layers"
    channels: Annotated[int, Range(1, 16, "channels")] = 1
    width: Annotated[int, Range(1, 1024, "channels")] = 64

    def build(self) -> "ThreeLayerNetwork":
        return ThreeLayerNetwork(self)


@final
class ThreeLayerNetwork(Restorer):
    def __init__(self, config: ThreeLayers) -> None:
        super().__init__()
        self.channels, self.scale, self.pad_multiple, self.conditioning = config.channels, 1, 1, ()
        self.receptive_radius = 4 + 2  # pixels on each side that the kernels of 9 and 5 pixels reach
        first, last = nn.Conv2d(config.channels, config.width, 9, padding=4), nn.Conv2d(config.width // 2, config.channels, 5, padding=2)
        self.layers = nn.Sequential(first, nn.ReLU(), nn.Conv2d(config.width, config.width // 2, 1), nn.ReLU(), last)

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        return degraded + self.layers(degraded)


recipe = sf.override(dataclasses.replace(sf.recipe("denoise"), model=ThreeLayers()), *sys.argv[1:])
model = sf.fit(recipe)  # in memory; run="..." needs a plug-in that a later process can find
noisy = (0.5 + 0.1 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
print(f"deviation of the noise: {noisy.std():.3f} before, {sf.apply_restorer(model, noisy).std():.3f} after")
