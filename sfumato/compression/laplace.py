"""Tables of Laplace distributions for the entropy coder, the same on every machine.

A file with a network of its own has no stored tables: they are computed here, from square roots and exponentials that the decimal module
rounds correctly, and from whole numbers. A floating-point exponential may differ by its last digit between two machines.
"""

import functools
from decimal import Context, Decimal
from typing import TypeVar

import numpy as np
import torch

from sfumato.compression.rans import Numbers, Tables
from sfumato.nn.entropy import frequencies

SCALES = 45
"""Number of scales with tables. Scale i is 2^(i / 4 - 5): from 1/32 to 64."""
UNIT_SCALE = 20
"""Index of the scale 1."""
PER_OCTAVE = 4
FRACTIONS = 16
"""Parts of one in which a mean is given: a table for each distance of the mean from the whole number below."""
REACH = 255
"""Largest distance of a number from the whole number below its mean that tables have; others are escaped."""
ESCAPE = 2 * REACH + 1
"""The code of all numbers without a frequency."""
_ONE = 1 << 30


N = TypeVar("N", int, Numbers)


def row_of(scale: N, fraction: N) -> N:
    """The row of the tables for scales and for sixteenths of a mean above the whole number below."""
    return scale * FRACTIONS + fraction


@functools.cache
def laplace_tables() -> Tables:
    """Frequencies of the distances -REACH to REACH and of the escape, a row for each scale and each fraction of the mean."""
    tails = _tails()
    edges = np.arange(-REACH, REACH + 2) * FRACTIONS - FRACTIONS // 2
    rows = []
    for tail in tails:
        for fraction in range(FRACTIONS):
            places = edges - fraction
            below = np.where(places < 0, tail[np.abs(places)], _ONE - tail[np.abs(places)])
            mass = np.diff(below)
            rows.append(frequencies(torch.from_numpy(np.append(mass, max(1, _ONE - int(mass.sum()))).astype(np.float64))))
    return Tables(torch.stack(rows).numpy().astype(np.int64))


def _tails() -> Numbers:
    """For each scale, the probability of lying more than k / 16 above the mean, times 2^30: k along the second axis."""
    exact = Context(prec=40)
    root = exact.sqrt(exact.sqrt(Decimal(2)))
    scale, ratios = exact.divide(Decimal(1), Decimal(32)), []
    for _ in range(SCALES):
        ratio = exact.exp(exact.divide(Decimal(-1), exact.multiply(scale, Decimal(FRACTIONS))))
        ratios.append(int(exact.multiply(ratio, Decimal(_ONE))))
        scale = exact.multiply(scale, root)
    ratio, tails = np.array(ratios, dtype=np.int64), np.empty((SCALES, (REACH + 2) * FRACTIONS), dtype=np.int64)
    tails[:, 0] = _ONE // 2
    for k in range(1, tails.shape[1]):
        tails[:, k] = (tails[:, k - 1] * ratio) >> 30
    return tails
