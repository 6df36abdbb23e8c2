"""Enlarging by any factor: the bundled network for a factor, and resampling from its own factor to the one that is wanted.

    factor 3.5 ─ upscaler ─> upscale-x4 ─ resampled ─> 3.5 times the sides

Beyond 4 times the rest is resampled too: a second network for it gained nothing (`python -m benchmarks.thumbnails factors`).
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch

from sfumato.core.tensors import Maps
from sfumato.nn.resample import resize_in_bands

LARGEST = 8
"""Largest factor with the bundled networks."""
REPAIRED, DEBLOCKED = 95, 80
"""Qualities up to which a JPEG is repaired, before it is enlarged or in the same step, and up to which `deblock` does that before; above, a
repair gains nothing, and `denoise`, which saw more of such, gains 0.06 dB more at quality 90."""
ONE_STEP = 40
"""Quality from which on one network repairs and enlarges a JPEG; a coarser one is repaired first, by a network that saw such."""
FAINT = 3 / 255
"""Noise up to which that network takes it away too: denoising first loses 0.2 dB there, and gains 0.1 dB at 4/255 and 0.7 dB at 9/255 (on
pictures of the train part of BSDS500, x2, qualities 50, 70 and 88)."""
Kind = Literal["plain", "jpeg", "best", "sharp"]
_NETWORKS: dict[Kind, dict[int, str]] = {
    "plain": {2: "upscale-x2", 3: "upscale-x3", 4: "upscale-x4"},
    "jpeg": {2: "upscale-jpeg-x2", 4: "upscale-jpeg-x4"},
    "best": {2: "upscale-x2-best", 4: "upscale-x4-best"},
    "sharp": {4: "upscale-sharp"},
}
"""Kind and factor to networks: of clean pictures; of JPEGs, which are repaired in the same step; with four times as many weights, for the
best quality; trained against a discriminator."""
NAMES = tuple(name for networks in _NETWORKS.values() for name in networks.values())
"""The bundled networks that enlarge."""


def upscaler(factor: float, kind: Kind = "plain") -> str:
    """The name of the bundled network of a kind that enlarges at least `factor` times, or else most."""
    return _NETWORKS[kind][reached(factor, kind)]


def reached(factor: float, kind: Kind = "plain") -> int:
    """The factor of the `upscaler`."""
    return next((each for each in _NETWORKS[kind] if each >= factor), max(_NETWORKS[kind]))


def output_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Height and width of a picture of this `size` enlarged `factor` times; halves are rounded up."""
    return math.floor(size[0] * factor + 0.5), math.floor(size[1] * factor + 0.5)


def resampled(images: Maps, size: tuple[int, int]) -> Maps:
    """`images` resized to `size` (height, width) by cubic interpolation, antialiased where that is smaller, in [0, 1]."""
    return images if images.shape[2:] == size else resize_in_bands(images, size).clamp(0, 1)


class RowBuffer:
    """Rows of an image that comes in strips, top to bottom. Rows above those asked for last are forgotten."""

    def __init__(self, strips: Iterator[Maps]) -> None:
        self._strips, self._first, self._held = strips, 0, list[Maps]()

    def rows(self, start: int, stop: int) -> Maps:
        """Rows `start` to `stop` (exclusive); `start` must never be smaller than at the call before."""
        while self._first + sum(strip.shape[2] for strip in self._held) < stop:
            self._held.append(next(self._strips))
        while self._first + self._held[0].shape[2] <= start:
            self._first += self._held.pop(0).shape[2]
        held = torch.cat(self._held, dim=2) if len(self._held) > 1 else self._held[0]
        return held[:, :, start - self._first : stop - self._first]
