"""Quantisation to 8 bits: images are clamped and rounded, as when a file is stored."""

import dataclasses

from sfumato.core.config import settings
from sfumato.core.rng import Draws
from sfumato.core.tensors import to_bytes, to_images
from sfumato.degradations.base import Degraded


@settings
class Config:
    """Settings of quantisation to 8 bits; there are none to choose."""

    id = "quantise"

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        return dataclasses.replace(degraded, images=to_images(to_bytes(degraded.images)))
