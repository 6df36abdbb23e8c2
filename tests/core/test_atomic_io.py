"""Files that are there whole or not at all, and what the system says as advice."""

import errno
import os
import subprocess
import sys

import pytest

from sfumato.core import atomic_io
from sfumato.core.errors import StorageError


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("content", [b"\0\xff", "é\n"])
def test_a_file_is_written_as_it_is_and_its_folder_made(content, tmp_path):
    atomic_io.write(tmp_path / "deep" / "a", content)
    assert (tmp_path / "deep" / "a").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["deep/a"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    atomic_io.write(tmp_path / "a", "old")
    with atomic_io.whole(tmp_path / "a") as partial:
        partial.write_text("ne")
        assert (tmp_path / "a").read_text() == "old"
        partial.write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("ours")])
@pytest.mark.parametrize("moment", ["while it is written", "before it is renamed"])
def test_trouble_leaves_the_old_file_and_no_other(trouble, moment, tmp_path, monkeypatch):
    atomic_io.write(tmp_path / "a", "old")

    def fail(*_):
        raise trouble

    def write():
        with atomic_io.whole(tmp_path / "a") as partial:
            partial.write_text("new")
            if moment == "while it is written":
                fail()

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError if isinstance(trouble, OSError) else type(trouble)):
        write()
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space and run the same command again"),
        (errno.EDQUOT, "free some space and run the same command again"),
        (errno.EACCES, "choose another place"),
        (errno.EROFS, "choose another place"),
        (errno.EIO, "choose another place"),
    ],
)
def test_what_the_system_says_becomes_advice(code, advice, tmp_path):
    with pytest.raises(StorageError, match=rf"place: cannot be written \(.*\); {advice}$"), atomic_io.storing(tmp_path / "place"):
        raise OSError(code, os.strerror(code))


def test_a_storage_error_passes_through_unchanged(tmp_path):
    with pytest.raises(StorageError, match=r"^the inner one$"), atomic_io.storing(tmp_path):
        raise StorageError("the inner one")


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file/a: cannot be written"):
        atomic_io.write(tmp_path / "file" / "a", "x")


def test_sweeping_removes_what_killed_writers_left_and_nothing_else(tmp_path):
    atomic_io.write(tmp_path / "state" / "a", "whole")
    (tmp_path / ".film.mkv.part").write_text("another program's")
    steps = ["import os", "from pathlib import Path", "from sfumato.core import atomic_io", "writing = atomic_io.whole(Path('state/a'))"]
    killed = "; ".join([*steps, "writing.__enter__()", "os.kill(os.getpid(), 9)"])
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)
    (left,) = (tmp_path / "state").glob(atomic_io.LEFTOVER)
    atomic_io.sweep(tmp_path / "elsewhere")
    atomic_io.sweep(tmp_path, below=False)
    assert left.exists()
    with atomic_io.whole(tmp_path / "state" / "a") as partial:
        partial.write_text("in use")
        atomic_io.sweep(tmp_path)
        assert not left.exists()
    assert names(tmp_path) == [".film.mkv.part", "state/a"]
    assert (tmp_path / "state" / "a").read_text() == "in use"


def test_sweeping_a_folder_that_is_not_there_is_fine(tmp_path):
    atomic_io.sweep(tmp_path / "absent")


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("sfumato.core.atomic_io.Path.touch", refused)
    with (
        pytest.raises(StorageError, match=r"here/raw: cannot be written \(Permission denied\)"),
        atomic_io.partial(tmp_path / "here" / "raw"),
    ):
        pass
