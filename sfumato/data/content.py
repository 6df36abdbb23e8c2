"""Where the original of an image falls when the data is split, whatever size the image is brought to.

A small original is told by its pixels in colour, so that copies in several formats fall together; a larger one by the bytes of its
file, for to decode it whole would take several times as long as to decode it at the size asked for.
"""

import hashlib

import numpy as np

from sfumato.data.dataset import PURPOSES, position
from sfumato.data.listing import Entry
from sfumato.io import decode
from sfumato.io.decode import EightBit, Facts

LARGEST = 256
"""Pixels of the longer side up to which an original is told by its pixels."""

SplitPositions = tuple[float, ...]
"""Where in [0, 1) one image falls, for each of `PURPOSES`."""


def split_positions(entry: Entry, fact: Facts, pixels: EightBit) -> SplitPositions:
    """Where the file falls of which `fact` are the facts and `pixels` has been made. Raises ImageError if it can no longer be read."""
    if max(fact.size) > LARGEST:
        with decode.reading(entry.name), entry.open() as file:
            content = hashlib.file_digest(file, "sha256").digest()
        return tuple(position(content, purpose) for purpose in PURPOSES)
    same = pixels.shape == (*fact.size, 3)
    original = pixels if same else decode.decode(entry.open, entry.name, channels=3)
    planes = np.ascontiguousarray(original.transpose(2, 0, 1))
    return tuple(position(planes, purpose) for purpose in PURPOSES)
