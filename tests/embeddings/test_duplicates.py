"""Duplicates of a folder: kinds, the one that is kept, lists and sheets. No file is changed."""

import csv
import json
import shutil

import pytest
from PIL import Image

from sfumato.core.errors import DataError, SettingError
from sfumato.embeddings.duplicates import duplicates
from tests.data.test_duplicates import scene


@pytest.fixture
def folder(tmp_path):
    """Four pictures; the first with a copy of its file, another format, a smaller and a larger copy."""
    place = tmp_path / "photos"
    place.mkdir()
    for seed in range(4):
        pixels = (scene(seed)[0].permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(place / f"{seed}.png")
    shutil.copy(place / "0.png", place / "copy.png")
    with Image.open(place / "0.png") as image:
        image.save(place / "format.bmp")
        image.resize((60, 60)).save(place / "small.jpg", quality=80)
        image.resize((200, 200), Image.Resampling.LANCZOS).save(place / "large.png")
    return place


def test_copies_are_one_group_and_the_largest_is_kept(folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = duplicates(folder)
    (group,) = [each for each in result.groups if each.kind != "similar"]
    assert group.kind == "near"
    assert group.paths[0] == "large.png"
    assert group.paths[-1] == "small.jpg"
    assert set(result.drop) == {"0.png", "copy.png", "format.bmp", "small.jpg"}
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_first_by_name_is_kept_if_asked(folder):
    (group,) = [each for each in duplicates(folder, keep="first").groups if each.kind != "similar"]
    assert group.paths[0] == "0.png"


def test_equal_files_and_equal_pixels_are_exact(folder):
    for name in ("small.jpg", "large.png"):
        (folder / name).unlink()
    (group,) = [each for each in duplicates(folder).groups if each.kind != "similar"]
    assert group.kind == "exact"
    assert sorted(group.paths) == ["0.png", "copy.png", "format.bmp"]
    assert group.correlation == 1
    assert group.paths[0] == "format.bmp"  # of equal size, the largest file


def test_similar_pictures_are_listed_and_never_dropped(folder):
    result = duplicates(folder, threshold=1.0, similar=0.5)
    assert any(group.kind == "similar" for group in result.groups)
    assert set(result.drop) <= {"0.png", "copy.png", "format.bmp"}


def test_lists_and_a_sheet_are_written(folder, tmp_path):
    result = duplicates(folder)
    result.save(tmp_path / "list.json")
    facts = json.loads((tmp_path / "list.json").read_text())
    assert facts["drop"] == list(result.drop)
    assert facts["groups"][0]["paths"] == list(result.groups[0].paths)
    result.save(tmp_path / "drop.csv")
    with (tmp_path / "drop.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file) if row["action"] == "drop"] == list(result.drop)
    with Image.open(tmp_path / "list.png") as sheet:
        assert sheet.size == (6 * 66 - 2, len(result.groups) * 66 - 2)


def test_a_folder_without_copies_has_no_groups_and_a_damaged_file_is_named(folder):
    for path in folder.iterdir():
        if path.name not in ("0.png", "1.png"):
            path.unlink()
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = duplicates(folder)
    assert (result.drop, result.count, len(result.skipped)) == ((), 2, 1)


@pytest.mark.parametrize("options", [{"threshold": 0.3}, {"threshold": 1.1}, {"threshold": 0.8, "similar": 0.9}])
def test_settings_out_of_range_are_refused(options, folder):
    with pytest.raises(SettingError):
        duplicates(folder, **options)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError):
        duplicates(tmp_path)
