"""Split positions of images, computed from the content of their originals and independent of the size at which they are loaded.

A small original is identified by its pixels in colour, so that copies in several formats stay together. A larger original is identified by
the bytes of its file, because decoding at full size takes several times as long as decoding at the requested size.
"""

import numpy as np

from sfumato.data.dataset import PURPOSES, position
from sfumato.data.listing import Entry
from sfumato.io import decode
from sfumato.io.decode import EightBit, Facts

LARGEST = 256
"""Longest side in pixels of an original that is identified by its pixels."""

SplitPositions = tuple[float, ...]
"""Positions in [0, 1) of one image, one for each of `PURPOSES`."""


def split_positions(entry: Entry, fact: Facts, pixels: EightBit) -> SplitPositions:
    """The split positions of an image file with the header `fact` and the decoded `pixels`. Raises ImageError if the file is gone."""
    if max(fact.size) > LARGEST:
        content = entry.digest()
        return tuple(position(content, purpose) for purpose in PURPOSES)
    same = pixels.shape == (*fact.size, 3)
    original = pixels if same else decode.decode(entry.open, entry.name, channels=3)
    planes = np.ascontiguousarray(original.transpose(2, 0, 1))
    return tuple(position(planes, purpose) for purpose in PURPOSES)
