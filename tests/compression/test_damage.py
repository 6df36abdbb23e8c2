"""Damaged and unfinished files: a picture or one error, always told, and never garbage that nobody is told of."""

import random

import numpy as np
import pytest

from sfumato.compression import compress as job
from sfumato.compression.compress import compress
from sfumato.compression.container import parsed
from sfumato.compression.decompress import decompress
from sfumato.core.errors import CheckpointError, FormatError, ImageError


@pytest.fixture(scope="module")
def pixels():
    from tests.compression.conftest import photograph

    return photograph(48, 64)


def mutated(data, rng):
    """The file with some bytes changed, cut off, doubled or taken out."""
    content = bytearray(data)
    kind = rng.randrange(4)
    place = rng.randrange(len(content))
    if kind == 0:
        del content[place:]
    elif kind == 1:
        for _ in range(rng.choice((1, 1, 5))):
            content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    elif kind == 2:
        del content[place : place + rng.randrange(1, 9)]
    else:
        content[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(content)


def test_no_change_passes_unseen(codec, pixels):
    """The check of an intact symbol stream may fit after a change only where the pixels are those of the whole file."""
    data = compress(pixels, quality=40, model=codec)
    whole, rng = np.asarray(decompress(data, model=codec)), random.Random(0)
    outcomes = {"refused": 0, "told": 0, "same": 0}
    for _ in range(60):
        try:
            image = decompress(mutated(data, rng), model=codec)
        except (FormatError, CheckpointError, ImageError):
            outcomes["refused"] += 1
            continue
        if image.damage:
            outcomes["told"] += 1
        else:
            assert np.array_equal(np.asarray(image), whole)
            outcomes["same"] += 1
    assert outcomes["told"] > 20
    assert outcomes["refused"] > 0


def test_a_cut_file_shows_what_it_has(codec, pixels):
    data = compress(pixels, quality=80, model=codec)
    errors = []
    for tenths in (3, 6, 10):
        image = decompress(data[: len(data) * tenths // 10], model=codec)
        assert bool(image.damage) == (tenths < 10)
        errors.append(np.abs(np.asarray(image, dtype=int) - pixels).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[2]


def test_damage_stays_within_its_tile(codec, pixels, monkeypatch):
    monkeypatch.setattr(job, "TILE", 8)
    large = np.tile(pixels, (1, 9, 1))  # 576 columns: three tiles
    data = compress(large, quality=60, model=codec)
    whole = np.asarray(decompress(data, model=codec), dtype=int)
    first, second, _ = (tile.stream for tile in parsed(data).tiles)
    place = data.index(second, data.index(first) + 1) + len(second) // 2  # tiles of the same pixels have the same stream
    image = decompress(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], model=codec)
    assert image.damage == ("tile 2 of 3 is damaged and shows a prediction",)
    changed = np.abs(np.asarray(image, dtype=int) - whole).max(axis=(0, 2)) > 0
    border = codec.network.halo * 16
    assert not changed[: 256 - border].any()
    assert not changed[512 + border :].any()
    assert changed[256:512].mean() > 0.5


def test_the_first_bytes_of_a_large_file_are_a_thumbnail(codec, pixels, monkeypatch):
    monkeypatch.setattr(job, "TILE", 8)
    large = np.tile(pixels, (6, 9, 1))
    large[:, 288:] //= 3
    data = compress(large, quality=60, model=codec)
    first = data.index(parsed(data).tiles[0].stream) - 4
    assert first < len(data) / 10
    image = decompress(data[:first], model=codec)
    assert image.size == (576, 288)
    assert len(image.damage) == 6
    shown = np.asarray(image, dtype=int)
    assert abs(shown[:, :240].mean() - large[:, :240].mean()) < 25
    assert abs(shown[:, 336:].mean() - large[:, 336:].mean()) < 25


def test_a_file_that_claims_too_many_pixels_is_refused_before_they_are_made(codec):
    from sfumato.compression.container import Container, Header, written

    header = Header(quality=1, fingerprint=codec.network.fingerprint, size=(1 << 20, 1 << 20), tile=10)
    with pytest.raises(ImageError, match="more than the 100 megapixels allowed"):
        decompress(written(Container(header=header, tiles=())), model=codec)
