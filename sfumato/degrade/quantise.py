"""Clamped and rounded to 8 bits, as every damaged image was when it was stored."""

import dataclasses

from sfumato.core.chance import Draws
from sfumato.core.image import to_bytes, to_images
from sfumato.core.settings import settings
from sfumato.degrade.base import Degraded


@settings
class Config:
    id = "quantise"

    def __call__(self, seen: Degraded, draws: Draws) -> Degraded:
        return dataclasses.replace(seen, images=to_images(to_bytes(seen.images)))
