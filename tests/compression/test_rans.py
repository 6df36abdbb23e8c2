"""The entropy coder gives back what it was given, in the number of bits that theory promises, and never fails on other bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.compression.rans import MOST_LANES, Decoder, Tables, encode, lanes_for
from sfumato.core.errors import FormatError

TABLES = Tables(np.array([[65533, 1, 1, 1], [16384, 16384, 16384, 16384], [0, 65535, 0, 1], [40000, 20000, 5000, 536]]))


def drawn(rng, count):
    """Rows and symbols by the distributions of the tables."""
    rows = rng.integers(0, len(TABLES.frequency), count)
    slots = rng.integers(0, 1 << 16, count)
    symbols = [np.searchsorted(TABLES.frequency[r].cumsum(), s, side="right") for r, s in zip(rows, slots, strict=True)]
    return rows, np.array(symbols, dtype=np.int64)


@given(seed=st.integers(0, 999), counts=st.lists(st.integers(0, 60), min_size=1, max_size=4), lanes=st.integers(0, MOST_LANES))
def test_runs_come_back(seed, counts, lanes):
    rng = np.random.default_rng(seed)
    runs = [drawn(rng, count) for count in counts]
    decoder = Decoder(encode([TABLES.spans(*run) for run in runs], lanes), lanes)
    for rows, symbols in runs:
        assert np.array_equal(decoder.read(TABLES, rows), symbols)
    assert decoder.complete


def test_plain_numbers_come_back_between_others():
    rng, numbers = np.random.default_rng(0), np.array([0, 65535, 77])
    rows, symbols = drawn(rng, 9)
    stream = encode([TABLES.spans(rows, symbols), (numbers, np.ones_like(numbers)), TABLES.spans(rows, symbols)], 1)
    decoder = Decoder(stream, 1)
    assert np.array_equal(decoder.read(TABLES, rows), symbols)
    assert np.array_equal(decoder.read_plain(3), numbers)
    assert np.array_equal(decoder.read(TABLES, rows), symbols)


@pytest.mark.parametrize("count", [100, 10_000, 40_000])
def test_the_length_is_that_of_the_information(count):
    rows, symbols = drawn(np.random.default_rng(1), count)
    lanes = lanes_for(count)
    start, size = TABLES.spans(rows, symbols)
    ideal = -np.log2(size / 65536).sum() / 8
    assert ideal <= len(encode([(start, size)], lanes)) <= ideal + 4.5 * (1 << lanes) + 2e-4 * count


@given(cut=st.integers(0, 400))
def test_a_stream_that_was_cut_gives_its_beginning(cut):
    rows, symbols = drawn(np.random.default_rng(2), 300)
    stream = encode([TABLES.spans(rows, symbols)], 2)
    if cut < 16:
        with pytest.raises(FormatError):
            Decoder(stream[:cut], 2)
        return
    decoder = Decoder(stream[:cut], 2)
    found = decoder.read(TABLES, rows)
    assert np.array_equal(found, symbols[: len(found)])
    assert (len(found) == len(rows)) == (cut >= len(stream))
    assert not len(decoder.read_plain(1)) or cut >= len(stream)


@given(content=st.binary(min_size=4, max_size=200))
def test_any_bytes_are_symbols(content):
    decoder = Decoder(content, 0)
    found = decoder.read(TABLES, np.arange(100) % 4)
    assert all(TABLES.frequency[row % 4, symbol] for row, symbol in enumerate(found))
