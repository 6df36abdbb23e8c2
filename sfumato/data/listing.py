"""Picture files in a folder or a zip, recognised by content; a usual ending of the name saves opening the file."""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sfumato.core.atomic_io import sha256
from sfumato.core.errors import DataError
from sfumato.data.table import NAME as TABLE
from sfumato.io import archive, decode, formats
from sfumato.io.decode import SUFFIXES, Opened
from sfumato.io.formats import Kind

_RUN = {"settings.json", "log.jsonl", "samples"}
"""Files by which the folder of a training run is recognised; its sheets of samples are not data."""
_LITTER = {"thumbs.db", "desktop.ini", "icon\r"}
"""Files that operating systems create in folders of pictures."""


class Entry(NamedTuple):
    """A file of a folder or zip that has not been read."""

    name: str
    """Path below the folder or in the zip, with forward slashes."""
    open: Callable[[], AbstractContextManager[Opened]]
    """Opens the file for reading, in a `with`."""

    def digest(self) -> bytes:
        """SHA-256 of the bytes of the file, 32 bytes. Raises ImageError if it cannot be read."""
        with decode.reading(self.name), self.open() as file:
            return bytes.fromhex(sha256(file))


@dataclass
class Listing:
    """Files of a folder or a zip; they can be opened as long as the source is open."""

    pictures: list[Entry] = field(default_factory=list)
    """Picture files, sorted by name."""
    tables: list[Entry] = field(default_factory=list)
    """Files that may hold the classes of pictures."""
    left_out: list[str] = field(default_factory=list)
    """A line for each entry of a zip without a name or with a repeated one."""
    unread: list[Kind] = field(default_factory=list)
    """Formats of the pictures and films that cannot be read."""
    others: Counter[str] = field(default_factory=Counter)
    """Ending to the number of files that are no pictures."""

    def passed_over(self) -> str:
        """Numbers and kinds of the ignored files in one line; empty if there are none."""
        count = self.others.total()
        endings = ", ".join(f"{n:,} {ending or 'without an ending'}" for ending, n in self.others.most_common(8))
        no_pictures = f"passed over {count:,} {'file' if count == 1 else 'files'} with no picture in: {endings}" if count else ""
        return "; ".join(filter(None, (formats.summary(self.unread), no_pictures)))

    def add(self, name: str, open_file: Callable[[], AbstractContextManager[Opened]], beginning: Callable[[], bytes]) -> None:
        """Adds a file to the list of its kind; `beginning` returns its first bytes and is called if the name has no picture ending."""
        path = PurePosixPath(name)
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts) or path.name.lower() in _LITTER:
            return
        if path.name == TABLE:
            self.tables.append(Entry(name, open_file))
            return
        kind = None if path.suffix.lower() in SUFFIXES else formats.identify(beginning(), name)
        if path.suffix.lower() in SUFFIXES or (kind is not None and kind.read):
            self.pictures.append(Entry(name, open_file))
        elif kind is not None:
            self.unread.append(kind)
        else:
            self.others[path.suffix.lower()] += 1


@contextlib.contextmanager
def listed(source: Path) -> Iterator[Listing]:
    """Yields the files of a folder or zip, which can be opened inside the `with` only.

    Hidden files, `__MACOSX` and folders of training runs are ignored. Raises DataError if the source cannot be listed, or is a zip whose
    declared sizes are out of proportion.
    """
    with contextlib.ExitStack() as stack:
        listing = Listing()
        if source.is_dir():
            _walk(source, listing)
        else:
            _unpack(stack, source, listing)
        listing.pictures.sort(key=lambda entry: entry.name)
        yield listing


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a training run."""
    return all((folder / name).exists() for name in _RUN)


def _walk(folder: Path, listing: Listing) -> None:
    """Adds every file below `folder` to `listing`, except those of training runs. Links to folders are followed once each."""

    def complain(error: OSError) -> None:
        raise DataError(f"{error.filename or folder}: the folder cannot be read ({error.strerror or error})") from error

    visited = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        place = os.path.realpath(here)
        if place in visited or (Path(here) != folder and {*folders, *files} >= _RUN):
            folders.clear()
            continue
        visited.add(place)
        folders.sort()  # of two links to one folder, always the same one is followed
        for file in files:
            path = Path(here, file)
            # Opening a pipe or device would block. A broken link is added, so that opening it reports the error.
            if path.is_file() or not path.exists():
                listing.add(path.relative_to(folder).as_posix(), lambda path=path: path.open("rb"), lambda path=path: _beginning(path))


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; none of a file with length 0, because reading some virtual files of the system blocks."""
    try:
        if not path.stat().st_size:
            return b""
        with path.open("rb") as file:
            return file.read(formats.START)
    except OSError:
        return b""


def _unpack(stack: contextlib.ExitStack, source: Path, listing: Listing) -> None:
    """Adds every file in the zip, which is read in place, to `listing`."""
    held = stack.enter_context(archive.opened(source))
    infos, listing.left_out = archive.members(held)
    for name, info in infos.items():

        def content(info: archive.ZipInfo = info) -> io.BytesIO:
            return archive.content(held, info)

        def beginning(info: archive.ZipInfo = info) -> bytes:
            return archive.beginning(held, info, formats.START)

        listing.add(name, content, beginning)
    archive.check_total(source, [infos[entry.name] for entry in (*listing.pictures, *listing.tables)])
