"""What the names of pictures say of their parts and classes, and what a table beside them says."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import DataError
from sfumato.data.layout import layout
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes

CASES = Path(__file__).parents[3] / "shared" / "cases" / "files"
CAFE, CAFE_OF_A_MAC = "caf\u00e9", "cafe\u0301"


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path):
    """Makes a folder or a zip of pictures with these names and of other files with these contents; returns its path."""

    def make(names, others=None):
        contents = {name: png(i) for i, name in enumerate(names)} | (others or {})
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
            return tmp_path / "photos.zip"
        for name, content in contents.items():
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).write_bytes(content)
        return tmp_path / "photos"

    return make


def named(data):
    """How many pictures there are of each class."""
    return {name: int((data.labels == i).sum()) for i, name in enumerate(data.classes)}


def table(labels):
    return {"dataset.json": json.dumps({"labels": labels}).encode()}


def test_one_stray_picture_is_left_out_and_the_classes_stay(source):
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(3)] + ["loose.png"]
    data = load(source(names), part="all")
    assert named(data) == {"cat": 3, "dog": 3}
    assert data.skipped == ("loose.png: in no class",)
    assert data.labelling == "2 classes from the names of folders: cat (3), dog (3)"


def test_many_stray_pictures_are_pictures_without_classes(source):
    data = load(source(["cat/1.png", "dog/2.png", "3.png", "4.png"]), part="all")
    assert (len(data), data.labels, data.classes) == (4, None, ())
    assert data.labelling == "no classes: 2 of 4 pictures lie beside the folders, such as 3.png"


def test_stray_pictures_are_as_good_as_others_where_nobody_asks_for_classes(source):
    path = source(["cat/1.png", "dog/2.png", "3.png"])
    assert len(load_scenes(path, channels=3, part="all")) == 3


def test_folders_in_a_folder_of_a_class_are_of_that_class(source):
    data = load(source(["pets/cat/1.png", "pets/cat/old/2.png", "pets/dog/a/b/3.png", "pets/dog/c/4.png"]), part="all")
    assert named(data) == {"cat": 2, "dog": 2}


def test_numbered_folders_of_stylegan_are_no_classes(source):
    data = load(source([f"{i // 1000:05d}/img{i:08d}.png" for i in (0, 1, 1000, 1001, 2000)]), part="all")
    assert (len(data), data.classes) == (5, ())
    assert data.labelling == "no classes: folders such as 00000 are numbered, and there is no dataset.json"
    digits = layout([f"{kind:05d}/{i}.png" for kind in range(2) for i in range(2)], None)
    assert digits.classes == ("00000", "00001"), "folders of classes may be numbered too"


@pytest.mark.parametrize("wrapped", ["", "nv/"])
def test_the_table_of_stylegan_decides(source, wrapped):
    names = [f"{i // 1000:05d}/img{i:08d}.png" for i in (0, 1, 1000, 1001)]
    rows = {f"{wrapped}{n}": c for n, c in table([[name, 10 - 5 * (i % 2)] for i, name in enumerate(names)]).items()}
    data = load(source([wrapped + name for name in names], rows), part="all")
    assert data.classes == ("5", "10")
    assert data.labels.tolist() == [1, 0, 1, 0]
    assert data.labelling == "2 classes from dataset.json: 5 (2), 10 (2)"
    assert data.passed_over == ""


def test_a_table_without_labels_means_that_there_are_none(source):
    data = load(source(["a/1.png", "b/2.png"], table(None)), part="all")
    assert data.labelling == "no classes: dataset.json contains no labels"


def test_pictures_that_the_table_does_not_name(source):
    names = [f"a/{i}.png" for i in range(4)]
    few = load(source(names, table([[name, name[2]] for name in names[:3]])), part="all")
    assert (few.classes, few.skipped) == (("0", "1", "2"), ("a/3.png: in no class",))
    many = load(source(names, table([["a/0.png", 1], ["b/9.png", 2]])), part="all")
    assert many.labelling == "no classes: dataset.json does not name 3 of 4 pictures, such as a/1.png"


def test_another_dataset_json_decides_nothing(source):
    data = load(source(["cat/1.png", "dog/2.png"], {"dataset.json": b'{"name": "pets"}'}), part="all")
    assert data.classes == ("cat", "dog")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"labels": 3}', b'{"labels": [["a/1.png"]]}', b'{"labels": [["a/1.png", [0, 1]]]}',
     b'{"labels": [["a/1.png", true]]}', b'{"labels": [[1, 2]]}', b'{"labels": "ab"}',
     b"\xff\xfe\x00", b'{"labels": [["a", ' + b"9" * 5000 + b"]]}"],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_one_line(source, content):
    with pytest.raises(DataError, match=r"dataset\.json.*repair it, or remove it to train without its labels") as caught:
        load(source(["a/1.png", "b/2.png"], {"dataset.json": content}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("train", "held"), [("training", "validation"), ("train", "val"), ("Training", "Testing"), ("train", "valid")])
def test_parts_are_no_classes(source, train, held):
    path = source([f"{train}/{i}.png" for i in range(4)] + [f"{held}/{i}.png" for i in range(2)])
    training, test = load(path), load(path, part="test")
    assert (len(training), training.kept_back, training.classes) == (4, 2, ())
    assert (len(test), test.kept_back) == (2, 4)
    assert training.labelling == "no classes: the pictures lie in one folder"


def test_what_lies_outside_of_the_parts_is_left_out_and_named(source):
    names = [f"train/{kind}/{i}.png" for kind in ("cat", "dog") for i in range(3)] + [
        "val/cat/9.png",
        "val/dog/8.png",
        "extra/7.png",
        "6.png",
    ]
    data = load(source(names), part="all")
    assert named(data) == {"cat": 4, "dog": 4}
    assert data.skipped == ("6.png and 1 more: outside the folders of training and test pictures",)


def test_classes_below_a_folder_that_parts_share():
    result = layout([f"{part}/images/{kind}/{part}.png" for part in ("train", "test") for kind in ("cat", "dog")], None)
    assert (result.classes, result.parts) == (("cat", "dog"), ["train", "train", "test", "test"])


def test_names_in_decomposed_unicode_are_the_same_classes(source):
    data = load(source([f"{CAFE_OF_A_MAC}/1.png", f"{CAFE}/2.png", "bar/3.png"]), part="all")
    assert named(data) == {"bar": 1, CAFE: 2}


def test_the_table_is_looked_up_in_composed_unicode(tmp_path):
    (tmp_path / CAFE_OF_A_MAC).mkdir()
    for i in range(2):
        (tmp_path / CAFE_OF_A_MAC / f"{i}.png").write_bytes(png(i))
    (tmp_path / "dataset.json").write_bytes(table([[f"{CAFE}/0.png", CAFE_OF_A_MAC], [f"{CAFE}/1.png", "bar"]])["dataset.json"])
    assert load(tmp_path, part="all").classes == ("bar", CAFE)


def test_many_classes_are_told_in_one_line(source):
    data = load(source([f"{kind}/{i}.png" for kind in "abcdefgh" for i in range(2)]), part="all")
    assert data.labelling == "8 classes from the names of folders: a (2), b (2), c (2), d (2), e (2) and 3 more"


def test_the_content_of_a_file_decides_and_what_is_passed_over_is_counted(source):
    others = {
        "notes.txt": b"hello",
        "more.txt": b"hello",
        "page.html": b"<html>",
        "film.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0",
        "Thumbs.db": b"x",
    }
    data = load(source(["1.png", "2.jpeg", "picture", "holiday.dat"], others), part="all")
    assert len(data) == 4
    assert data.passed_over == "passed over 1 file: 1 film (is no picture); passed over 3 files with no picture in: 2 .txt, 1 .html"
    assert data.skipped == ()


def test_a_data_set_of_stylegan_from_elsewhere():
    if not CASES.is_dir():
        pytest.skip("the folder shared/cases is not here")
    data = load(CASES / "nvjson.zip", part="all")
    assert named(data) == {"0": 14, "1": 13, "2": 13}


def test_a_folder_of_a_hundred_thousand_names_is_laid_out_at_once():
    result = layout([f"{i % 10}/{i}.png" for i in range(100_000)], None)
    assert (len(result.places), len(result.classes)) == (100_000, 10)
