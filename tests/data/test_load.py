"""From a folder, a zip or a name to one tensor, and what is said when that cannot be."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import DataError, SettingError
from sfumato.data.load import load


def noise(seed, height=12, width=12, grey=False):
    values = np.random.default_rng(seed).integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path):
    """Makes a folder or a zip of named contents, and returns its path."""

    def make(contents, name="photos"):
        root = tmp_path / name
        for file, content in contents.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        if request.param == "folder":
            return root
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in contents.items():
                archive.writestr(file, content)
        return path

    return make


def test_images_come_in_the_order_of_their_names(source):
    images = [noise(i) for i in range(40)]
    names = [f"{i:03d}.png" for i in np.random.default_rng(0).permutation(40)]
    data = load(source({name: png(images[int(name[:3])]) for name in names}), part="all")
    assert torch.equal(data.pixels, torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2))
    assert (data.name, data.labels, data.classes, data.skipped) == ("photos", None, (), ())


@pytest.mark.parametrize("wrapped", ["", "data/", "a/b/c/"])
def test_labels_are_the_folders(source, wrapped):
    files = {f"{wrapped}{kind}/{i}.png": png(noise(i)) for i, kind in enumerate(["dog", "cat", "owl", "cat"])}
    data = load(source(files | {"README.txt": b"hello"}), part="all")
    assert data.classes == ("cat", "dog", "owl")
    assert data.labels.tolist() == [0, 0, 1, 2]
    assert data.pixels[2, 0].tolist() == np.asarray(noise(0))[..., 0].tolist()


@pytest.mark.parametrize("held", ["test", "val", "Test", "validation"])
def test_folders_called_train_and_test_are_the_parts(source, held):
    files = {f"train/{kind}/{i}.png": png(noise(i)) for i, kind in enumerate(["cat", "dog", "owl"])}
    path = source(files | {f"{held}/owl/{i}.png": png(noise(9 + i)) for i in range(2)})
    train, test, both = load(path), load(path, part="test"), load(path, part="all")
    assert (len(train), len(test), len(both)) == (3, 2, 5)
    assert train.classes == test.classes == ("cat", "dog", "owl")
    assert test.labels.tolist() == [2, 2]


def test_val_is_left_alone_where_there_is_a_test_folder(source):
    path = source({f"{part}/{i}.png": png(noise(i * 7 + len(part))) for part in ("train", "val", "test") for i in range(4)})
    assert [len(load(path, part=part)) for part in ("train", "test", "all")] == [4, 4, 12]


def test_elsewhere_the_content_makes_the_parts(source):
    path = source({f"{i}.png": png(noise(i, 4, 4)) for i in range(200)})
    train, test, both = (load(path, part=part) for part in ("train", "test", "all"))
    assert len(train) + len(test) == len(both) == 200
    assert (train.kept_back, test.kept_back, both.kept_back) == (len(test), len(train), 0)
    assert len(train.split(0.1, purpose="validation")[1]) > 5, "images are left to validate on"
    assert 8 <= len(test) <= 36
    assert not {p.numpy().tobytes() for p in train.pixels} & {p.numpy().tobytes() for p in test.pixels}


def test_sizes_and_channels_that_nobody_asked_for(source):
    agree = source({f"{i}.png": png(noise(i, 20, 30, grey=True)) for i in range(3)}, "agree")
    assert load(agree, part="all").pixels.shape == (3, 1, 20, 30)
    assert load(agree, part="all", channels=3).pixels.shape == (3, 3, 20, 30)
    differ = source({"1.png": png(noise(1)), "2.png": png(noise(2, 40, 50, grey=True))}, "differ")
    assert load(differ, part="all").pixels.shape == (2, 3, 64, 64)
    assert load(differ, part="all", size=(8, 16), channels=1).pixels.shape == (2, 1, 8, 16)
    large = source({f"{i}.png": png(noise(i, 4, 257)) for i in range(2)}, "large")
    assert load(large, part="all").pixels.shape == (2, 3, 64, 64)
    assert load(large, part="all", channels=4, crop="stretch", size=(4, 257)).pixels[:, 3].min() == 255


def test_some_broken_files_are_skipped_by_name(source):
    good = {f"{kind}/{i:02d}.png": png(noise(i)) for i in range(30) for kind in ("cat", "dog")}
    bad = {"cat/text.png": b"these are words", "dog/07cut.png": png(noise(9))[:-60], "dog/empty.jpg": b""}
    for size in (None, (12, 12)):
        data = load(source(good | bad), part="all", channels=None if size is None else 3, size=size)
        assert len(data) == 60
        assert [line.split(":")[0] for line in data.skipped] == ["cat/text.png", "dog/07cut.png", "dog/empty.jpg"]
        assert data.labels.tolist() == [0] * 30 + [1] * 30
        assert torch.equal(data.pixels[:30], data.pixels[30:])


def test_too_many_broken_files_are_too_many(source):
    files = {f"{i}.png": png(noise(i)) for i in range(8)} | {"x.png": b"?", "y.png": b"?"}
    with pytest.raises(DataError, match=r"2 of 10 images cannot be read; at most 5% .* x\.png: is not an image .*y\.png"):
        load(source(files))
    assert len(load(source(files), tolerance=0.2, part="all")) == 8
    with pytest.raises(DataError, match="2 images must remain"):
        load(source({"1.png": png(noise(1)), "x.png": b"?"}, "few"), tolerance=1.0)


def test_hidden_and_foreign_files_are_passed_over(source):
    files = {"1.png": png(noise(1)), "2.PNG": png(noise(2))}
    junk = {".hidden.png": b"x", "__MACOSX/1.png": b"x", ".git/3.png": b"x", "notes.txt": b"x", "Thumbs.db": b"x", "._1.png": b"x"}
    data = load(source(files | junk), part="all")
    assert len(data) == 2
    assert data.skipped == ()


def test_nothing_or_one_image(source):
    with pytest.raises(DataError, match=r"no picture that can be read, and 2 are the least; add pictures; passed over 1 file .*: 1 \.txt"):
        load(source({"notes.txt": b"x"}, "none"))
    with pytest.raises(DataError, match="one picture"):
        load(source({"1.png": png(noise(1))}, "one"))


def test_a_source_that_is_none(tmp_path):
    with pytest.raises(DataError, match=r"'mnits' \(did you mean 'mnist'\?\); known .*glyphs, mnist, fashion-mnist, cifar10"):
        load("mnits")
    image = tmp_path / "one.png"
    image.write_bytes(png(noise(0)))
    with pytest.raises(DataError, match=r"one\.png/deeper.*that can be read \(Not a directory\)"):
        load(image / "deeper")
    with pytest.raises(DataError, match="one image is not a data set"):
        load(image)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(DataError, match="neither a zip nor an IDX file"):
        load(text)


def test_zips_that_cannot_be_used(tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(b"not a zip at all")
    with pytest.raises(DataError, match=r"photos\.zip: is not a complete zip file"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", png(noise(i)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is not a complete zip file"):
        load(path)
    at = whole.index(b"PK\x01\x02") + 8  # the flags of the first entry in the directory
    path.write_bytes(whole[:at] + bytes([whole[at] | 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match="encrypted"):
        load(path)
    spoilt = bytearray(whole)
    spoilt[len("0.png") + 30 + 100] ^= 0xFF
    path.write_bytes(spoilt)
    data = load(path, tolerance=0.5, part="all")
    assert len(data) == 3
    assert data.skipped[0].startswith("0.png: is damaged (Bad CRC-32")


def test_a_zip_whose_names_climb_out_writes_nothing(tmp_path):
    home = tmp_path / "inner"
    home.mkdir()
    with zipfile.ZipFile(home / "photos.zip", "w") as archive:
        archive.writestr("../../evil.png", png(noise(1)))
        archive.writestr("/tmp/../evil2.png", png(noise(2)))
    assert len(load(home / "photos.zip", part="all")) == 2
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["photos.zip"]


def test_a_bomb_among_the_images_is_skipped(source, decoded):
    whole = png(noise(0))
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + whole[24:29]
    bomb = whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    data = load(source({f"{i}.png": png(noise(i)) for i in range(30)} | {"bomb.png": bomb}), part="all")
    assert (20_000, 20_000) not in decoded()
    assert data.skipped[0].startswith("bomb.png: is damaged (the header declares 1200000000 bytes of pixels")


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(place):
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"locked: the folder cannot be read \(Permission denied\)"):
        load(tmp_path)


def test_links_are_followed_once(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / "far" / kind).mkdir(parents=True)
        (tmp_path / "far" / kind / "1.png").write_bytes(png(noise(len(kind))))
    (tmp_path / "near").mkdir()
    for kind in ("cat", "dog"):
        (tmp_path / "near" / kind).symlink_to(tmp_path / "far" / kind)
    (tmp_path / "near" / "cat" / "loop").symlink_to(tmp_path / "near")
    assert load(tmp_path / "near", part="all").classes == ("cat", "dog")


def test_a_path_is_a_path_and_a_string_may_be_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sfumato.data.load._GLYPHS", {"train": range(3)})
    (tmp_path / "glyphs").mkdir()
    for i in range(2):
        (tmp_path / "glyphs" / f"{i}.png").write_bytes(png(noise(i)))
    with pytest.warns(UserWarning, match="glyphs is taken for the data set of that name"):
        assert len(load("glyphs")) == 3
    assert len(load("./glyphs", part="all")) == len(load(Path("glyphs"), part="all")) == 2


def test_more_than_memory_holds(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(png(noise(i)))
    real = torch.empty
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", lambda shape, **rest: real((1 << 62,)) if len(shape) == 4 else real(shape, **rest))
        with pytest.raises(DataError, match=r"2 images of 12 x 12 need 0\.0 GB of memory, more than is available"):
            load(tmp_path)


@pytest.mark.parametrize("wrong", [{"size": (0, 8)}, {"size": (8, 5000)}, {"channels": 5}, {"tolerance": 1.5}, {"tolerance": -0.1}])
def test_settings_that_cannot_be(tmp_path, wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        load(tmp_path, **wrong)


def test_large_images_take_the_threaded_way_and_keep_their_order(source):
    images = {f"{i:02d}.png": png(Image.new("RGB", (900, 700), (i * 6, 0, 0))) for i in range(40)}
    data = load(source(images), part="all", size=(16, 16))
    assert data.pixels[:, 0, 8, 8].tolist() == [i * 6 for i in range(40)]


def test_sheets_of_a_run_inside_the_folder_are_nobodys_data(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(noise(i)))
    samples = tmp_path / "runs" / "photos" / "samples"
    samples.mkdir(parents=True)
    (samples / "000000008.png").write_bytes(png(noise(9, 40, 40)))
    for name in ("settings.json", "log.jsonl"):
        (samples.parent / name).touch()
    assert len(load(tmp_path, part="all")) == 4
    (samples / "000000016.png").write_bytes(png(noise(8, 40, 40)))
    assert len(load(samples, part="all")) == 2, "whoever asks for them has them"


def test_labels_in_a_zip_of_windows(tmp_path):
    with zipfile.ZipFile(tmp_path / "animals.zip", "w") as archive:
        for i, kind in enumerate(("cat", "dog", "cat", "dog")):
            info = zipfile.ZipInfo("x")
            info.filename = f"{kind}\\{i}.png"
            archive.writestr(info, png(noise(i)))
    assert load(tmp_path / "animals.zip", part="all").classes == ("cat", "dog")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(png(noise(i)))
    os.mkfifo(tmp_path / "pipe.png")
    assert len(load(tmp_path, part="all")) == 2


def test_a_part_of_one_image_is_told_so(source):
    files = {f"train/{i}.png": png(noise(i)) for i in range(5)} | {"test/5.png": png(noise(5))}
    with pytest.raises(DataError, match="one image is not a data set; add images, 2 are the least"):
        load(source(files), part="test")
