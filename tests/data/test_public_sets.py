"""The data sets with names: where they are looked for, and that what is found is the official one."""

import hashlib
import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import DataError, UnknownNameError
from sfumato.data.load import load
from sfumato.data.public_sets import NAMES, PUBLIC, File, locate, published
from sfumato.data.scenes import load_scenes


def test_archives_are_looked_for_in_the_data_folder(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "cats64.zip", "w") as archive:
        for i in range(40):
            picture = io.BytesIO()
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)).save(picture, "png")
            archive.writestr(f"{i}.png", picture.getvalue())
    monkeypatch.setenv("SFUMATO_DATA", str(tmp_path))
    data = load("cats64", part="all")
    assert (data.name, len(data), tuple(data.pixels.shape[1:])) == ("cats64", 40, (3, 8, 8))
    assert "research" in data.terms
    assert len(load("cats64", part="train")) + len(load("cats64", part="test")) == 40
    with pytest.raises(DataError, match=r"eurosat is read from SFUMATO_DATA/eurosat.zip, and there is no /"):
        load("eurosat")
    monkeypatch.delenv("SFUMATO_DATA")
    with pytest.raises(DataError, match="SFUMATO_DATA is not set"):
        load("cats64")


def test_a_folder_with_the_name_of_a_data_set_is_not_passed_over_in_silence(tmp_path, monkeypatch):
    """The data set wins, so that a recipe trains on the same images wherever it runs."""
    for place in ("sets/photos", "here/photos"):
        (tmp_path / place).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((6, 6), 100 if place.startswith("here") else 200, np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{i}.png")
    monkeypatch.setenv("SFUMATO_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path / "here")
    with pytest.warns(UserWarning, match=r"photos is taken for the data set of that name; to load the folder, write \./photos"):
        scenes = load_scenes("photos", channels=1, part="all")
    assert {int(picture.max()) for picture in scenes.pictures} == {200}
    (tmp_path / "here/glyphs").touch()
    with pytest.warns(UserWarning, match=r"glyphs is taken for .*; to load the file, write \./glyphs"):
        load("glyphs", size=(8, 8), part="test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scenes = load_scenes("./photos", channels=1, part="all")
        assert {int(picture.max()) for picture in scenes.pictures} == {100}
        monkeypatch.chdir(tmp_path / "sets")  # the folder is the data set
        load_scenes("photos", channels=1, part="all")


def test_the_list():
    assert NAMES == ("glyphs", "mnist", "fashion-mnist", "cifar10", "cats64", "eurosat")
    for kind in PUBLIC.values():
        assert len(kind.classes) == len(set(kind.classes)) == 10
        assert all(len(file.sha256) == 64 for file in kind.files)
        assert all(mirror.endswith("/") for mirror in kind.mirrors)
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10'"):
        published("cifar100")


def test_mnist_is_mnist(real_data):
    train = load("mnist")
    assert train.pixels.shape == (60000, 1, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.pixels.float().mean().item() == pytest.approx(33.3184, abs=1e-3)
    test = load("mnist", part="test", size=(32, 32), channels=3)
    assert test.pixels.shape == (10000, 3, 32, 32)
    assert load("mnist", part="all").labels.tolist() == train.labels.tolist() + test.labels.tolist()


def test_fashion_is_fashion(real_data):
    data = load("fashion-mnist", part="test")
    assert data.labels.bincount().tolist() == [1000] * 10
    assert [data.classes[i] for i in data.labels[:4]] == ["ankle boot", "pullover", "trouser", "trouser"]


def test_cifar_records(tmp_path):
    generator = np.random.default_rng(0)
    records = {
        name: generator.integers(0, 10, (3, 3073), dtype=np.uint8) for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    }
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        for name, content in {
            "../evil.bin": b"x",
            **{f"cifar-10-batches-bin/{n}.bin": r.tobytes() for n, r in reversed(records.items())},
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    pixels, labels = PUBLIC["cifar10"].read([tmp_path / "c.tar.gz"], False)
    expected = np.concatenate([records[f"data_batch_{i}"] for i in range(1, 6)])
    assert labels.tolist() == expected[:, 0].tolist()
    assert torch.equal(pixels.flatten(1), torch.from_numpy(expected[:, 1:]))
    assert pixels.shape == (15, 3, 32, 32)
    assert PUBLIC["cifar10"].read([tmp_path / "c.tar.gz"], True)[1].tolist() == records["test_batch"][:, 0].tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["c.tar.gz"]


def small(content):
    return File(name="file.bin", bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_own_folder_first_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    for place in ("own", "cache"):
        (tmp_path / place / "set").mkdir(parents=True)
        (tmp_path / place / "set" / "file.bin").write_bytes(b"right")
    assert locate("set", small(b"right"), ()) == tmp_path / "own/set/file.bin"
    (tmp_path / "own/set/file.bin").unlink()
    assert locate("set", small(b"right"), ()) == tmp_path / "cache/set/file.bin"


def test_a_changed_file_is_not_passed_off_as_official(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_DATA", str(tmp_path))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin").write_bytes(b"wrong")
    with pytest.raises(DataError, match=r"file\.bin: not the official file of set"):
        locate("set", small(b"right"), ())
