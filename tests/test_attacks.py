"""Spoilt files of every kind: read, or refused in one line, never anything else. `python -m benchmarks.attack` tries more."""

import pytest

from tests.attacks import attack, described, kinds

COUNT = 25
NAMES = [
    "model headers", "model bytes", "indexes", "directions", "latents", "edits", "dreams", "dreams in pictures", "manifests", "settings",
    "logs", "pictures: png", "pictures: jpg", "pictures: tif", "pictures: webp", "pictures: gif", "pictures: bmp", "masks", "zips",
    "idx", "idx in gzip", "pickles", "torch files", "safetensors",
]  # fmt: skip


@pytest.fixture(scope="module")
def everything():
    return kinds()


def test_every_kind_is_tried(everything):
    assert list(everything) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_read(name, everything, tmp_path):
    kind = everything[name]
    for data in kind.whole:
        path = tmp_path / kind.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if name not in ("pickles",):  # these are refused for what they hold, not for how they are written
            kind.read(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_file_is_read_or_refused_in_a_line(name, everything):
    tally = attack(everything[name], COUNT)
    assert not tally.failed, [described(error) for _, error in tally.failed]
    if name not in ("manifests", "logs"):  # whose lines are passed over
        assert tally.refused, "nothing was spoilt"
