"""Which image files a folder or a zip holds, which part of the data they are, and which class, all told from their names."""

import contextlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sfumato.core.errors import DataError, ImageError
from sfumato.data.decode import SUFFIXES, Opened

_TEST_NAMES = ("test", "val", "valid", "validation")
_MAX_ENTRY = 1 << 29
"""Bytes that one file in a zip may unpack to."""
_RUN = {"settings.json", "log.jsonl", "samples"}
"""What lies in the folder of a training run, whose sheets of samples are nobody's data."""


class Entry(NamedTuple):
    """One image file that is yet to be read."""

    name: str
    """Its path below the folder or in the zip, with forward slashes."""
    open: Callable[[], Opened]


@contextlib.contextmanager
def entries(source: Path) -> Iterator[list[Entry]]:
    """The image files of a folder or zip, sorted by name; they can be opened inside the `with` only.

    Hidden files, `__MACOSX`, files without an image's ending and the folders of training runs are passed over. Raises DataError if the
    source cannot be listed.
    """
    with contextlib.ExitStack() as stack:
        found = list(_walk(source)) if source.is_dir() else _pack(stack.enter_context(_zip(source)), source)
        yield sorted(found, key=lambda entry: entry.name)


def unwrap(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The names as path parts, without the folders that all of them lie in.

    >>> unwrap(["photos/cat/1.png", "photos/dog/1.png"])
    [('cat', '1.png'), ('dog', '1.png')]
    """
    paths = [PurePosixPath(name).parts for name in names]
    while paths and all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        paths = [path[1:] for path in paths]
    return paths


def parts(paths: Sequence[tuple[str, ...]]) -> list[str] | None:
    """`train` or `test` for each image, if all lie in a folder called train and one called test (or val); otherwise None.

    Images in a val folder belong to neither part where there is a test folder too, and are marked `val`.
    """
    folders = {path[0].lower() for path in paths if len(path) > 1}
    held = next((name for name in _TEST_NAMES if name in folders), None)
    if held is None or "train" not in folders or not folders <= {"train", *_TEST_NAMES} or any(len(path) == 1 for path in paths):
        return None
    return [{"train": "train", held: "test"}.get(path[0].lower(), "val") for path in paths]


def classes(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The sub-folders' names, sorted, if there are at least two and every image lies directly in one; otherwise none."""
    names = sorted({path[0] for path in paths})
    return tuple(names) if len(names) > 1 and all(len(path) == 2 for path in paths) else ()


def _walk(folder: Path) -> Iterator[Entry]:
    """Every image file below `folder`, but for what the runs in it have drawn; links are followed, once each."""

    def complain(error: OSError) -> None:
        raise DataError(f"{error.filename or folder}: the folder cannot be read ({error.strerror or error})") from error

    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        place = os.path.realpath(here)
        if place in seen or (Path(here) != folder and {*folders, *files} >= _RUN):
            folders.clear()
            continue
        seen.add(place)
        for file in files:
            path = Path(here, file)
            name = path.relative_to(folder).as_posix()
            # A pipe or a device would be waited for; a link that leads nowhere is told of when it is opened.
            if _is_image(name) and (path.is_file() or not path.exists()):
                yield Entry(name, lambda path=path: path.open("rb"))


def _zip(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        raise DataError(f"{source}: is not a whole zip file ({error}); fetch or pack it again") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error


def _pack(archive: zipfile.ZipFile, source: Path) -> list[Entry]:
    """Every image file in the zip, which is read in place; nothing is ever unpacked to disk."""
    inside = [info for info in archive.infolist() if not info.is_dir() and _is_image(info.filename)]
    if any(info.flag_bits & 1 for info in inside):
        raise DataError(f"{source}: the zip is encrypted; unpack it with its password and give the folder")
    return [Entry(info.filename.replace("\\", "/"), _opener(archive, info)) for info in inside]


def _is_image(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    hidden = any(part.startswith(".") and part not in (".", "..") for part in path.parts) or "__MACOSX" in path.parts
    return path.suffix.lower() in SUFFIXES and not hidden


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Opened]:
    def open_entry() -> Opened:
        if info.file_size > _MAX_ENTRY:
            raise ImageError(f"unpacks to more than the {_MAX_ENTRY >> 20} MiB allowed")
        return io.BytesIO(archive.read(info))

    return open_entry
