"""IDX files: what is in them comes out, and what is wrong with them is said."""

import gzip
import struct

import numpy as np
import pytest
import torch

from sfumato.core.errors import DataError, SfumatoError
from sfumato.data import idx
from sfumato.data.load import load


def packed(values, *, kind=8):
    array = np.asarray(values, dtype=np.uint8)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.array([3, 1, 4, 1, 255], dtype=np.uint8)


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def put(request, tmp_path):
    """Writes a file, gzipped or not, and returns its path."""

    def write(name, content):
        path = tmp_path / (name + ".gz" if request.param else name)
        path.write_bytes(gzip.compress(content) if request.param else content)
        return path

    return write


def test_images_and_labels_come_out_as_they_went_in(put):
    images, labels = idx.read_images(put("i", packed(IMAGES))), idx.read_labels(put("l", packed(LABELS)))
    assert images.shape == (5, 1, 4, 3)
    assert torch.equal(images[:, 0], torch.from_numpy(IMAGES))
    assert labels.tolist() == [3, 1, 4, 1, 255]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"hello, world", "not an IDX file"),
        (packed(IMAGES, kind=0x0D), "type 0x0d"),
        (packed(IMAGES)[:9], "header"),
        (packed(IMAGES)[:-1], "ends after 59 of 60|too short"),
        (packed(IMAGES) + b"x", "continues after"),
        (packed(IMAGES[:0]), "is empty"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 2**31), "too short"),
        (packed(LABELS), "1 dimensions"),
        (packed(IMAGES[None]), "4 dimensions"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(put, content, message):
    path = put("wrong-file", content)
    with pytest.raises(DataError, match=message) as caught:
        idx.read_images(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_gzip_and_missing_file(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(packed(np.random.default_rng(0).integers(0, 256, (9, 9, 9))))[:-40])
    with pytest.raises(DataError, match=r"cut\.gz: the gzip data is damaged"):
        idx.read_images(path)
    with pytest.raises(DataError, match="cannot be read"):
        idx.read_images(tmp_path / "absent")


def test_load_finds_the_labels_beside(put):
    path = put("own-images-idx3-ubyte", packed(IMAGES))
    assert load(path, part="all").labels is None
    put("own-labels-idx1-ubyte", packed(np.array([2, 0, 1, 1, 0])))
    data = load(path, part="all", channels=3)
    assert data.pixels.shape == (5, 3, 4, 3)
    assert data.labels.tolist() == [2, 0, 1, 1, 0]
    assert (data.name, data.classes) == ("own-images-idx3-ubyte", ("0", "1", "2"))
    put("own-labels-idx1-ubyte", packed(LABELS[:3]))
    with pytest.raises(DataError, match=r"5 images, but .* 3 labels"):
        load(path)


@pytest.mark.parametrize("zipped", [False, True])
def test_mutants_of_idx_files_are_read_or_refused_in_one_line(zipped, tmp_path):
    rng = np.random.default_rng(7)
    images, labels = packed(IMAGES), packed(LABELS)
    if zipped:
        images, labels = gzip.compress(images), gzip.compress(labels)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        for name, content in (("x-images-idx3-ubyte", images), ("x-labels-idx1-ubyte", labels)):
            changed = bytearray(content)
            for _ in range(rng.integers(0, 3)):
                at = int(rng.integers(0, min(len(changed), 30)))
                changed[at] = rng.integers(0, 256)
            cut = len(changed) if rng.random() < 0.8 else int(rng.integers(0, len(changed)))
            (tmp_path / name).write_bytes(changed[:cut])
        try:
            load(tmp_path / "x-images-idx3-ubyte", part="all")
            outcomes["read"] += 1
        except SfumatoError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes


def test_more_values_than_memory_holds_are_refused(put, monkeypatch):
    def empty(count, **_):
        raise RuntimeError("not enough memory")

    path = put("images", packed(IMAGES))
    monkeypatch.setattr(idx.torch, "empty", empty)
    with pytest.raises(DataError, match=r"its 60 values need 0\.0 GB of memory, more than is available"):
        idx.read_images(path)
