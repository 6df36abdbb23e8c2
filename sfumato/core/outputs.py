"""Where results go: every path is checked before the work, and nothing is replaced but what the same command left there.

    reserved(paths, by="mix") ─ can each be written? ─ is each free, or an unchanged result of an earlier `mix`? ─ work ─ write

A result is known by its bytes: a hidden file beside it holds name, SHA-256 and command of each. A result that somebody has changed since,
and a result of another command, are not replaced without --overwrite.
"""

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from sfumato.core import atomic_io, schema
from sfumato.core.errors import FormatError, SettingError, StorageError

LEDGER = ".sfumato.jsonl"
"""Name of the hidden file that says which results in its folder are whose."""
_KINDS = """
    png apng jpg jpeg jpe jfif jif mpo webp bmp dib gif tif tiff avif avifs heic heif hif heics ppm
    pgm pbm pnm tga jp2 j2k jpx jpf j2c psd psb jxl exr hdr svg xcf qoi dds ico mp4 mov mkv webm avi
    m4v
    3fr arw cr2 cr3 crw dcr dng erf iiq kdc mos mrw nef nrw orf pef raf rw2 rwl sr2 srf srw x3f
    mpg mpeg wmv flv mp3 wav flac ogg
    txt md html htm pdf doc docx odt json jsonl csv tsv xls xlsx xml yaml yml toml log py ipynb
    zip tar gz tgz bz2 xz 7z rar
    safetensors pt pth pkl ckpt onnx npy npz mat h5 bin pb gguf
"""
FILE_ENDINGS = frozenset(f".{kind}" for kind in _KINDS.split())
"""Endings of common kinds of files: a name that ends so is not meant as the name of a folder, and one such as `v1.2` may be."""
_LONGEST = 255
"""Bytes in a file's name, on all common disks."""


class Row(TypedDict):
    """One line of the hidden file."""

    file: str
    by: str
    sha256: str


class Ledger:
    """The results in one folder, each with its SHA-256 and the command that wrote it."""

    def __init__(self, folder: Path) -> None:
        """Reads the rows that there are. Raises StorageError if the file cannot be read and added to."""
        self.path = folder / LEDGER
        self._rows: dict[str, Row] = {}
        if not os.path.lexists(self.path):
            return
        # Told now: a result that cannot be noted after the work would be lost.
        if not self.path.is_file() or not os.access(self.path, os.R_OK | os.W_OK):
            raise StorageError(f"{self.path}: cannot be read and written; remove it, or choose another place")
        with atomic_io.storing(self.path):
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            with contextlib.suppress(FormatError):  # cut short, or not ours
                row = schema.parsed(line, Row, str(self.path))
                self._rows[row["file"]] = row

    def wrote(self, path: Path, by: str) -> bool:
        """Whether the command `by` wrote the file at `path`, and nobody has changed it since."""
        row = self._rows.get(path.name)
        return row is not None and row["by"] == by and bool(row["sha256"]) and row["sha256"] == atomic_io.digest(path)

    def note(self, path: Path, by: str, sha256: str) -> None:
        """One more row, unless the last one of this file says the same. Raises StorageError."""
        row: Row = {"file": path.name, "by": by, "sha256": sha256}
        if self._rows.get(path.name) != row:
            self._rows[path.name] = row
            atomic_io.append_line(self.path, json.dumps(row))


def check(path: Path, *, option: str = "--out") -> None:
    """Raises SettingError if `path` cannot be the name of a file, StorageError if no file can be written there. Leaves nothing behind.

    `option` is the flag of the path, for the messages.
    """
    if "\0" in str(path) or not path.name or path.name == "..":
        raise SettingError(f"{str(path)!r} is not the name of a file; choose another {option}")
    check_place(path, option=option)
    check_folder(path.parent)
    if len(os.fsencode(path.name)) > _LONGEST:
        raise StorageError(f"{path}: cannot be written (the name is longer than {_LONGEST} bytes); choose another place")


ADVICE = "choose another --out, or say --overwrite"
"""How a message about a path that is not free ends on the command line."""


def check_free(path: Path, *, overwrite: bool, is_own: Callable[[Path], bool] | None = None, advice: str = ADVICE) -> None:
    """Raises SettingError if a file exists at `path` and must not be replaced.

    A file is replaced with `overwrite`, and if `is_own` tells that an earlier call of the same command wrote it. `advice` ends the message.
    """
    if os.path.lexists(path) and not overwrite and not (is_own is not None and is_own(path)):
        raise SettingError(f"{path} is there already; {advice}")


def check_unchanged(path: Path, before: tuple[int, int, int] | None, *, overwrite: bool, advice: str = ADVICE) -> None:
    """Raises SettingError if the file at `path` is another than that whose `state` was `before`, unless with `overwrite`."""
    if not overwrite and state(path) != before:
        raise SettingError(f"{path} has come to be there meanwhile; {advice}")


def check_place(path: Path, *, option: str = "--out") -> None:
    """Raises SettingError if something other than an ordinary file, such as a folder, stands at `path`, the value of `option`."""
    with atomic_io.storing(path):
        if path.is_dir():
            raise SettingError(f"{path} is a folder, and one file is to be written; choose another {option}")
        if os.path.lexists(path) and not path.is_file() and not path.is_symlink():
            raise SettingError(f"{path} is not an ordinary file; choose another {option}")


def check_folder(folder: Path) -> None:
    """Raises StorageError if nothing can be written into `folder`, or if `folder` cannot be made. Leaves nothing behind."""
    if "\0" in str(folder):
        raise SettingError(f"{str(folder)!r} is not the name of a folder; choose another --out")
    with atomic_io.storing(folder):
        there = folder
        while not os.path.lexists(there):
            if len(os.fsencode(there.name)) > _LONGEST:
                raise StorageError(f"{folder}: cannot be written (a name is longer than {_LONGEST} bytes); choose another place")
            there = there.parent
        if not there.is_dir():
            raise StorageError(f"{folder}: cannot be written ({there} is not a folder); choose another place")
        # Permissions do not tell all: a disk may be full, or mounted read-only.
        try:
            with atomic_io.partial(there / "out"):
                pass
        except StorageError as error:
            raise error.__cause__ or error from None  # in the words of `folder`, which was asked for


def is_file_name(out: Path, formats: Collection[str]) -> bool:
    """Whether `out` ends like a file of one of the `formats`, and is not the name of a folder.

    Raises SettingError for the ending of another known kind of file, unless there is a folder of that name.
    """
    if out.suffix.lower() in formats:
        return True
    if _names_a_file(out):
        raise SettingError(f"{out}: cannot be written as {out.suffix}; give a folder, or a name that ends in {', '.join(formats)}")
    return False


def check_folder_name(out: Path) -> None:
    """Raises SettingError if `out`, where several files are to go, ends like one file, unless there is a folder of that name."""
    if _names_a_file(out):
        raise SettingError(f"{out} is the name of one file, and several are to be written; give a folder with --out")


def _names_a_file(out: Path) -> bool:
    return out.suffix.lower() in FILE_ENDINGS and not out.is_dir()


def check_ending(path: Path, formats: Collection[str], noun: str, *, option: str = "--out") -> None:
    """Raises SettingError if `noun`, such as `pictures`, cannot be written under this name, the value of `option`."""
    if path.suffix.lower() not in formats:
        raise SettingError(f"{path}: {noun} are written as {', '.join(formats)}; choose another {option}")


class Reservation:
    """Paths that a command is about to write to."""

    def __init__(self, paths: Iterable[Path], by: str, *, overwrite: bool, advice: str) -> None:
        self._by, self._overwrite, self._advice = by, overwrite, advice
        self._paths = {Path(os.path.abspath(path)): path for path in paths}
        self._states = {place: state(place) for place in self._paths}
        self._ledgers = {folder: Ledger(folder) for folder in dict.fromkeys(place.parent for place in self._paths)}

    def is_own(self, path: Path) -> bool:
        """Whether an earlier call of the same command wrote the file at `path`, and nobody has changed it since."""
        place = Path(os.path.abspath(path))
        return self._ledgers[place.parent].wrote(place, self._by)

    def check(self, *, replaces: bool) -> None:
        """Raises SettingError for the first path where there is a file, unless with `replaces` it is the command's own."""
        for path in self._paths.values():
            check_free(path, overwrite=self._overwrite, is_own=self.is_own if replaces else None, advice=self._advice)

    def placing(self, finished: Path, path: Path) -> None:
        """Notes whose the file at `path` will be. Raises SettingError if another file has come to be there since the check."""
        place = Path(os.path.abspath(path))
        if place not in self._states:
            return
        check_unchanged(path, self._states[place], overwrite=self._overwrite, advice=self._advice)
        self._ledgers[place.parent].note(place, self._by, atomic_io.digest(finished))
        # A command may write to one path several times, as a preview is.
        self._states[place] = state(finished)


@contextlib.contextmanager
def reserved(
    paths: Sequence[Path],
    *,
    by: str,
    overwrite: bool = False,
    reads: Iterable[str | Path | None] = (),
    replaces: bool = True,
    advice: str = ADVICE,
    option: str = "--out",
) -> Iterator[Reservation]:
    """Inside, files may be written to `paths`; before, all of them are checked, and half-written files of killed runs are removed.

    `by` is the command. Its own earlier results are replaced, or with `replaces` off only where `overwrite` says so; files that it
    `reads` are never replaced. `advice` ends the message about a path that is not free, and `option` is the flag that it names. Raises
    SettingError for a path that is no file's name, is read, or is not free; StorageError for one that cannot be written.
    """
    advice = advice.replace("--out", option)
    read = {os.path.realpath(os.path.expanduser(each)) for each in reads if each is not None and "\0" not in str(each)}
    # Of the folder of a run the model is read.
    originals = read | {os.path.join(each, "model.safetensors") for each in read}
    for path in paths:
        check(path, option=option)
        if os.path.realpath(path) in originals:
            raise SettingError(f"{path} is read and would be written over; choose another {option}")
    held = Reservation(paths, by, overwrite=overwrite, advice=advice)
    held.check(replaces=replaces)
    for folder in dict.fromkeys(path.parent for path in paths):
        if folder.is_dir():
            atomic_io.sweep(folder, below=False)
    with atomic_io.heard(held.placing):
        yield held


def state(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of change of the file at `path`; None if there is none."""
    if not os.path.lexists(path):
        return None
    status = os.lstat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns
