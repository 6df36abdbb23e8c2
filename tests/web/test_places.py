"""Paths stay inside of the chosen folders, and files belong to who sent them."""

import os

import pytest

from sfumato.core.errors import ImageError, SettingError
from sfumato.web.limits import Limits, checked_pictures
from sfumato.web.places import ChosenFolders, Shelter, new_run_folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for place in ("photos/cats/1.png", "secret/2.png"):
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "photos" / "way").symlink_to(tmp_path / "secret")
    return tmp_path


@pytest.mark.parametrize("name", ["secret", "photos/way", "photos/../secret", "photos/cats/../../secret", "nowhere", "photos\0", "", "~"])
def test_a_folder_outside_of_the_chosen_ones_is_refused(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SettingError):
        ChosenFolders([folder / "photos"]).resolved(name if not name or name[0] == "~" else str(folder / name))


def test_folders_with_pictures_are_offered_and_can_be_used(folder):
    chosen = ChosenFolders([folder / "photos"])
    assert chosen.names() == [str(folder / "photos"), str(folder / "photos" / "cats")]
    assert [chosen.resolved(name) for name in chosen.names()] == [folder / "photos", folder / "photos" / "cats"]
    assert ChosenFolders([]).names() == []
    with pytest.raises(SettingError, match="no folder"):
        ChosenFolders([folder / "nowhere"])


def test_files_are_those_of_their_visitor_alone(tmp_path):
    shelter = Shelter(tmp_path)
    path = shelter.job_folder("a" * 24) / "result.png"
    path.write_bytes(b"123")
    upload = tmp_path / "hash" / "own.png"
    upload.parent.mkdir()
    upload.write_bytes(b"12")
    shelter.add_upload("a" * 24, upload)
    assert shelter.owns("a" * 24, path)
    assert shelter.owns("a" * 24, upload)
    assert shelter.bytes_of("a" * 24) == 5
    for other in (path, upload, path.parent / ".." / ".." / "hash" / "own.png", "/etc/passwd", "http://example.org/", "\0"):
        assert not shelter.owns("b" * 24, other)
    assert "a" * 24 not in str(path)


def test_files_of_a_visitor_who_has_left_are_removed(tmp_path):
    shelter = Shelter(tmp_path / "root") if (tmp_path / "root").mkdir() is None else None
    for visitor in ("stays", "leaves"):
        shelter.visit(visitor)
        (shelter.job_folder(visitor) / "x").write_bytes(b"x")
        place = shelter.root / visitor / "own.png"
        place.parent.mkdir()
        place.write_bytes(b"x")
        shelter.add_upload(visitor, place)
    shelter.sweep(kept=1e9)
    assert shelter.bytes_of("leaves") == 2
    shelter._last["leaves"] -= 100
    shelter.sweep(kept=50)
    assert shelter.bytes_of("leaves") == 0
    assert not (shelter.root / "leaves").exists()
    assert shelter.bytes_of("stays") == 2
    shelter.close()
    assert not shelter.root.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/etc", ".hidden", "a\0", "a*", "x" * 101])
def test_a_run_has_a_plain_name(tmp_path, name):
    with pytest.raises(SettingError):
        new_run_folder(tmp_path, name)
    assert new_run_folder(tmp_path, "cats-2") == tmp_path / "cats-2"


def test_uploads_are_bounded_by_number_bytes_pixels_and_ending(tmp_path):
    from PIL import Image

    limits = Limits(files=2, file_bytes=2000, pixels=100)
    small, large, long, other = (tmp_path / name for name in ("a.png", "b.png", "c.png", "d.tar"))
    Image.new("L", (10, 10)).save(small)
    Image.new("L", (11, 10)).save(large)
    long.write_bytes(os.urandom(2001))
    other.write_bytes(b"x")
    assert checked_pictures([small, small], limits) == [small, small]
    for paths, error in (
        ([], SettingError),
        ([small] * 3, SettingError),
        ([large], ImageError),
        ([long], ImageError),
        ([other], ImageError),
    ):
        with pytest.raises(error):
            checked_pictures(paths, limits)
