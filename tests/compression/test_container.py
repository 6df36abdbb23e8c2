"""The file format: every part comes back, every byte counts, and damage is found."""

import dataclasses
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.compression import container
from sfumato.compression.container import Chunk, Container, Header, parsed, tile_count, written
from sfumato.core.errors import FormatError

HEADER = Header(quality=40, fingerprint=b"\1\2\3\4", size=(64, 64))
SMALL = Container(header=HEADER, tiles=(Chunk(stream=b"abcd", lanes=3, hyper_check=7, check=65535),))


def large(size, blocks=True):
    header = dataclasses.replace(HEADER, size=size, tile=10, blocks=blocks, grey=True)
    tiles = tuple(Chunk(stream=bytes([i]) * (200 + i), lanes=i % 8, hyper_check=2 * i, check=i) for i in range(tile_count(header)))
    thumbnail = Chunk(stream=b"thumbnail", lanes=1, hyper_check=9, check=3)
    return Container(header=header, thumbnail=thumbnail, tiles=tiles, blocks={1: bytes(5000), 3: b"exif"} if blocks else {})


@pytest.mark.parametrize("parts", [SMALL, large((1025, 1024)), large((3000, 5000), blocks=False)])
def test_every_part_comes_back(parts):
    assert parsed(written(parts)) == parts


def test_a_small_picture_has_few_bytes_beside_its_stream():
    assert len(written(SMALL)) - 4 <= 22


def test_the_bytes_are_those_of_the_description():
    data = written(SMALL)
    assert data[:4] == b"\x8fSFM"
    assert data[4:6] == bytes([1, 40])
    assert data[6:10] == b"\1\2\3\4"
    assert data[10:12] == bytes([64, 64])
    assert data[14:] == bytes([4 << 3 | 3, 7, 0, 255, 255]) + b"abcd"


@given(cut=st.integers(0, 2000))
def test_a_cut_file_has_all_that_is_there(cut):
    parts = large((2000, 2100))
    data = written(parts)
    if cut < 17:
        with pytest.raises(FormatError):
            parsed(data[:cut])
        return
    got = parsed(data[:cut])
    assert got.header == parts.header
    whole = [chunk for chunk in got.tiles if chunk.whole]
    assert whole == list(parts.tiles[: len(whole)])
    assert len(got.tiles) - len(whole) <= 1
    assert bool(got.faults) == (cut < len(data))


@given(place=st.integers(0, 13), value=st.integers(0, 255))
def test_a_changed_header_is_refused(place, value):
    data = bytearray(written(SMALL))
    if data[place] == value:
        return
    data[place] = value
    with pytest.raises(FormatError):
        parsed(bytes(data))


@given(content=st.binary(max_size=60))
def test_other_bytes_are_no_file(content):
    with pytest.raises(FormatError):
        parsed(content)


@pytest.mark.parametrize("place", [-1, -10, -20])
def test_a_changed_block_is_left_out(place):
    data = bytearray(written(large((1025, 1024))))
    data[place] ^= 4
    got = parsed(bytes(data))
    assert got.faults
    assert got.tiles == large((1025, 1024)).tiles


@pytest.mark.parametrize("kind", [container.PROFILE, container.EXIF])
def test_a_block_that_unpacks_to_more_than_is_allowed_is_left_out(kind, monkeypatch):
    monkeypatch.setattr(container, "MOST_BLOCK", 5000)
    for length in (5000, 5001):
        got = parsed(written(dataclasses.replace(large((1025, 1024)), blocks={kind: bytes(length)})))
        assert (kind in got.blocks, bool(got.faults)) == (length == 5000, length > 5000)


@pytest.mark.parametrize("kind", [container.OPACITY, 7, 255])
def test_blocks_unpack_to_no_more_than_a_picture_needs(kind):
    """A few kilobytes may stand for gigabytes: opacity has a byte for each pixel, and blocks of unknown kinds stay packed."""
    header = dataclasses.replace(HEADER, size=(60, 50), blocks=True)
    data = written(dataclasses.replace(SMALL, header=header, blocks={kind: bytes(1 << 27)}))
    tracemalloc.start()
    got = parsed(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(data)
    assert not got.blocks
    exact = written(dataclasses.replace(SMALL, header=header, blocks={container.OPACITY: bytes(3000)}))
    assert parsed(exact).blocks == {container.OPACITY: bytes(3000)}
