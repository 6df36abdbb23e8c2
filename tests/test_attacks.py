"""Spoilt files of every kind: read, or refused in one line, never anything else. `python -m benchmarks.attack` tries more."""

import importlib.util

import pytest

from tests.attacks import attack, described, kinds

COUNT = 25
NEED = {"journals": ("optuna",), "exported models": ("onnx", "onnxruntime")}
"""Kinds that are read with optional packages."""
NAMES = [
    "model headers", "model bytes", "indexes", "directions", "latents", "edits", "dreams", "dreams in pictures", "manifests",
    "settings", "logs", "pictures: png", "pictures: jpg", "pictures: tif", "pictures: webp", "pictures: gif", "pictures: bmp", "masks",
    "zips", "idx", "idx in gzip", "pickles", "torch files", "matlab files", "safetensors",
    "compressed pictures", "recipes", "comparisons", "plans", "tables of labels", "tables of augmenting", "ledgers", "units", "tar shards",
    *NEED,
]  # fmt: skip


@pytest.fixture(scope="module")
def everything():
    return kinds()


def test_every_kind_is_tried(everything):
    assert [name for name in NAMES if name in everything or not there(name)] == NAMES
    assert everything.keys() <= set(NAMES)


def there(name):
    """Whether the packages are installed that a kind needs."""
    return all(importlib.util.find_spec(package) for package in NEED.get(name, ()))


def kind_of(name, everything):
    if not there(name):
        pytest.skip(f"{' or '.join(NEED[name])} is not installed")
    return everything[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_read(name, everything, tmp_path):
    kind = kind_of(name, everything)
    for data in kind.whole:
        path = tmp_path / kind.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if name not in ("pickles",):  # these are refused for what they hold, not for how they are written
            kind.read(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_file_is_read_or_refused_in_a_line(name, everything):
    tally = attack(kind_of(name, everything), COUNT)
    assert not tally.failed, [described(error) for _, error in tally.failed]
    if name not in ("manifests", "logs", "tables of augmenting", "ledgers", "units"):  # whose lines are passed over
        assert tally.refused, "nothing was spoilt"
