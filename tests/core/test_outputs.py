"""Nothing is replaced but what the same command wrote and nobody has changed since."""

import os
from pathlib import Path

import pytest

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError, StorageError
from sfumato.io import files, formats
from sfumato.restoration import film


def written(path, content="ours", by="mix", **how):
    with outputs.reserved([path], by=by, **how):
        atomic_io.write(path, content)
    return path.read_text()


def test_a_command_replaces_its_own_result_and_no_other(tmp_path):
    path = tmp_path / "a.png"
    assert [written(path, content) for content in ("first", "second")] == ["first", "second"]
    with pytest.raises(SettingError, match=r"a\.png is there already; choose another --out, or say --overwrite"):
        written(path, by="edit")
    path.write_text("painted")
    with pytest.raises(SettingError, match="is there already"):
        written(path)
    assert path.read_text() == "painted"
    assert written(path, "third", overwrite=True) == "third"
    assert written(path, "fourth") == "fourth"


def test_a_result_is_known_after_its_folder_has_moved_and_not_in_another(tmp_path):
    written(tmp_path / "one" / "a.png")
    (tmp_path / "one").rename(tmp_path / "two")
    assert written(tmp_path / "two" / "a.png", "again") == "again"
    (tmp_path / "b.png").write_bytes((tmp_path / "two" / "a.png").read_bytes())
    with pytest.raises(SettingError, match="is there already"):
        written(tmp_path / "b.png")


def test_some_commands_replace_nothing(tmp_path):
    written(tmp_path / "a.png")
    with pytest.raises(SettingError, match="is there already"):
        written(tmp_path / "a.png", replaces=False)


def test_what_has_come_to_be_there_meanwhile_stays(tmp_path):
    path = tmp_path / "a.png"
    with outputs.reserved([path], by="mix"):
        path.write_text("theirs")
        with pytest.raises(SettingError, match="has come to be there meanwhile"):
            atomic_io.write(path, "ours")
    assert path.read_text() == "theirs"


def test_what_is_read_is_never_replaced(tmp_path):
    path = tmp_path / "a.png"
    written(path)
    (tmp_path / "link.png").symlink_to(path)
    for out in (path, tmp_path / "link.png"):
        with pytest.raises(SettingError, match="is read and would be written over"):
            written(out, overwrite=True, reads=(path,))


@pytest.mark.parametrize("name", ["folder", "file/a.png", "file/deep/a.png", "", "..", "nul\0.png", "x" * 300, f"{'x' * 300}/a.png"])
def test_a_place_that_cannot_be_is_told_and_leaves_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").write_text("theirs")
    with pytest.raises((SettingError, StorageError)):
        written(Path(name), overwrite=True)
    assert sorted(os.listdir()) == ["file", "folder"]
    assert Path("file").read_text() == "theirs"


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingError, match="is not an ordinary file"):
        written(tmp_path / "pipe", overwrite=True)


def test_a_place_that_can_be_is_not_made_before_the_work(tmp_path):
    with outputs.reserved([tmp_path / "deep" / "er" / "a.png"], by="mix"):
        assert not any(tmp_path.iterdir())


def test_half_written_files_of_killed_runs_are_swept(tmp_path):
    (tmp_path / ".a.png.0123.sfumato-part").write_text("half")
    written(tmp_path / "a.png")
    assert sorted(os.listdir(tmp_path)) == [outputs.LEDGER, "a.png"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]\n{}\n", b'{"file": 3}\n', b"[" * 100_000, b'{"file": "a.png", "by": "mix"}\n'])
def test_a_ledger_that_is_spoilt_makes_nothing_replaceable(content, tmp_path):
    (tmp_path / "a.png").write_text("theirs")
    (tmp_path / outputs.LEDGER).write_bytes(content)
    with pytest.raises(SettingError, match="is there already"):
        written(tmp_path / "a.png")


def test_a_ledger_that_cannot_be_added_to_is_told_before_the_work(tmp_path):
    (tmp_path / outputs.LEDGER).mkdir()
    with pytest.raises(StorageError, match="cannot be read and written"), outputs.reserved([tmp_path / "a.png"], by="mix"):
        pytest.fail("the work began")


def test_names_that_no_path_can_have_are_not_what_is_read(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert written(tmp_path / "a.png", reads=("nul\0", "~nobody-is-called-so/x", tmp_path / "loop.png")) == "ours"
    assert written(tmp_path / "loop.png", overwrite=True) == "ours"


def test_the_same_result_again_adds_no_line(tmp_path):
    for _ in range(3):
        written(tmp_path / "a.png")
    assert len((tmp_path / outputs.LEDGER).read_text().splitlines()) == 1


@pytest.mark.parametrize(("name", "is_file"), [("a.PNG", True), ("a", False), ("v1.2", False)])
def test_a_name_says_whether_it_is_a_file_or_a_folder(name, is_file):
    assert outputs.is_file_name(Path(name), [".png"]) is is_file
    with pytest.raises(SettingError, match=r"cannot be written as \.gif"):
        outputs.is_file_name(Path("a.gif"), [".png"])


def test_an_existing_folder_is_one_whatever_its_name(tmp_path):
    (tmp_path / "photos.zip").mkdir()
    assert not outputs.is_file_name(tmp_path / "photos.zip", [".png"])
    outputs.check_folder_name(tmp_path / "photos.zip")
    with pytest.raises(SettingError, match="is the name of one file"):
        outputs.check_folder_name(tmp_path / "others.zip")
    outputs.check_folder_name(tmp_path / "v1.2")


def test_every_kind_of_picture_and_film_has_the_ending_of_a_file():
    assert formats.ENDINGS.keys() | set(film.SUFFIXES) | set(files.FORMATS) <= outputs.FILE_ENDINGS


def test_the_model_in_a_folder_that_is_read_is_not_replaced(tmp_path):
    model = tmp_path / "run" / "model.safetensors"
    atomic_io.write(model, "precious")
    with pytest.raises(SettingError, match="is read and would be written over"):
        written(model, overwrite=True, reads=(tmp_path / "run",))
    assert model.read_text() == "precious"
