"""Entropy coder: several range coders of the ANS kind side by side, in whole numbers (Duda 2013, https://arxiv.org/abs/1311.2540).

A lane is a state in [2^16, 2^32). Symbol number i of a run belongs to lane i mod `lanes`, so that one operation on arrays codes as many
symbols as there are lanes. All lanes share one row of 16-bit words: a lane that needs digits takes the next word, lower lanes first.

    stream = the states of all lanes (32 bits each, little endian), then words (16 bits each, little endian)

A state costs about two bytes more than it holds, so that small images have one lane. A stream that was cut off gives all symbols before
the first one that needs a missing word.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import FormatError

PRECISION = 16
_TOTAL = 1 << PRECISION
_LOW = 1 << 16
MOST_LANES = 7
"""Logarithm (base 2) of the largest number of lanes."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Tables:
    """Distributions of symbols: a row of frequencies each, which add up to 2^16."""

    frequency: Numbers
    """(rows, symbols); a frequency of 0 is a symbol that cannot be coded."""
    start: Numbers = field(init=False)
    """Sum of the frequencies before each symbol."""
    keys: Numbers = field(init=False)
    """`start` of all rows in one rising sequence."""

    def __post_init__(self) -> None:
        start = np.zeros_like(self.frequency)
        start[:, 1:] = self.frequency.cumsum(axis=1)[:, :-1]
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "keys", (start + (np.arange(len(start)) << PRECISION)[:, None]).ravel())

    def spans(self, rows: Numbers, symbols: Numbers) -> tuple[Numbers, Numbers]:
        """Start and frequency of each symbol in its row."""
        return self.start[rows, symbols], self.frequency[rows, symbols]


def lanes_for(symbols: int) -> int:
    """Logarithm of a number of lanes for a stream of so many symbols: the cost of lanes stays under half a per cent or so."""
    return min(MOST_LANES, max(0, (symbols // 6000).bit_length()))


def encode(runs: list[tuple[Numbers, Numbers]], lanes: int) -> bytes:
    """The stream of runs of symbols, each given by starts and frequencies. `lanes` is the logarithm of the number of lanes."""
    count = 1 << lanes
    state = np.full(count, _LOW, dtype=np.int64)
    words: list[Numbers] = []
    for starts, sizes in reversed(runs):
        for first in reversed(range(0, len(starts), count)):
            start, size = starts[first : first + count], sizes[first : first + count]
            x = state[: len(start)]
            full = x >= size << 16
            if full.any():
                words.append((x[full] & 0xFFFF)[::-1])
                x = np.where(full, x >> 16, x)
            quotient, rest = np.divmod(x, size)
            state[: len(start)] = (quotient << PRECISION) + rest + start
    row = np.concatenate(words)[::-1] if words else np.empty(0, dtype=np.int64)
    return state.astype("<u4").tobytes() + row.astype("<u2").tobytes()


class Decoder:
    """Reads runs of symbols from a stream, in the order in which they were given to `encode`."""

    def __init__(self, stream: bytes, lanes: int) -> None:
        """Raises FormatError if the stream ends before the states of its lanes."""
        count = 1 << lanes
        if len(stream) < 4 * count:
            raise FormatError("the stream of symbols ends before its first symbol")
        self.count, self.position = count, 0
        self.state = np.frombuffer(stream[: 4 * count], dtype="<u4").astype(np.int64)
        whole = (len(stream) - 4 * count) // 2 * 2
        self.words = np.frombuffer(stream[4 * count : 4 * count + whole], dtype="<u2").astype(np.int64)
        self.broken = False
        """Whether a word was missing: nothing more can be read."""

    @property
    def complete(self) -> bool:
        """Whether all words were read and all lanes ended in the state in which `encode` began."""
        return not self.broken and self.position == len(self.words) and bool((self.state == _LOW).all())

    def read(self, tables: Tables, rows: Numbers) -> Numbers:
        """The next symbols, one for each of `rows` of the tables; fewer if the stream ends."""
        indices, width = np.empty(len(rows), dtype=np.int64), tables.frequency.shape[1]
        starts, sizes = tables.start.ravel(), tables.frequency.ravel()
        for first in range(0, len(rows), self.count):
            row = rows[first : first + self.count]
            x = self.state[: len(row)]
            slot = x & (_TOTAL - 1)
            place = np.searchsorted(tables.keys, (row << PRECISION) + slot, side="right") - 1
            if not self._advance(sizes[place] * (x >> PRECISION) + slot - starts[place]):
                return indices[:first]
            indices[first : first + self.count] = place - row * width
        return indices

    def read_plain(self, count: int) -> Numbers:
        """The next `count` numbers of 16 bits that are all equally likely; fewer if the stream ends."""
        indices = np.empty(count, dtype=np.int64)
        for first in range(0, count, self.count):
            x = self.state[: min(self.count, count - first)]
            value = x & (_TOTAL - 1)
            if not self._advance(x >> PRECISION):
                return indices[:first]
            indices[first : first + self.count] = value
        return indices

    def _advance(self, x: Numbers) -> bool:
        """Takes words for the lanes that need digits; whether there were enough."""
        hungry = np.flatnonzero(x < _LOW)
        if len(hungry):
            end = self.position + len(hungry)
            if self.broken or end > len(self.words):
                self.broken = True
                return False
            x[hungry] = (x[hungry] << 16) | self.words[self.position : end]
            self.position = end
        self.state[: len(x)] = x
        return True
