"""Which pictures a folder or a zip holds: the content of a file decides, its name only saves the look at it."""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sfumato.core.errors import DataError
from sfumato.data.table import NAME as TABLE
from sfumato.io import archive, formats
from sfumato.io.decode import SUFFIXES, Opened
from sfumato.io.formats import Kind

_RUN = {"settings.json", "log.jsonl", "samples"}
"""What lies in the folder of a training run, whose sheets of samples are nobody's data."""
_LITTER = {"thumbs.db", "desktop.ini", "icon\r"}
"""What systems leave in folders of pictures."""


class Entry(NamedTuple):
    """One file that is yet to be read."""

    name: str
    """Its path below the folder or in the zip, with forward slashes."""
    open: Callable[[], Opened]


@dataclass
class Listing:
    """What a folder or a zip holds; files can be opened as long as it is open."""

    pictures: list[Entry] = field(default_factory=list)
    """Sorted by name."""
    tables: list[Entry] = field(default_factory=list)
    """Files that may say which picture is of which class."""
    left_out: list[str] = field(default_factory=list)
    """A line for each entry of a zip that is left out for its name."""
    unread: list[Kind] = field(default_factory=list)
    """The formats of pictures and films that cannot be read here."""
    others: Counter[str] = field(default_factory=Counter)
    """How many files of each ending are no pictures."""

    def passed_over(self) -> str:
        """How many files of which kind were passed over, in one line; empty if there are none."""
        count = self.others.total()
        endings = ", ".join(f"{n:,} {ending or 'without an ending'}" for ending, n in self.others.most_common(8))
        no_pictures = f"passed over {count:,} {'file' if count == 1 else 'files'} with no picture in: {endings}" if count else ""
        return "; ".join(filter(None, (formats.summary(self.unread), no_pictures)))

    def add(self, name: str, open_file: Callable[[], Opened], beginning: Callable[[], bytes]) -> None:
        """Puts a file where it belongs; `beginning` is its first bytes, asked for where the name is not that of a picture."""
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
    """The files of a folder or zip; they can be opened inside the `with` only.

    Hidden files, `__MACOSX` and the folders of training runs are passed over. Raises DataError if the source cannot be listed, or is a
    zip that would unpack to much more than zips of pictures do.
    """
    with contextlib.ExitStack() as stack:
        listing = Listing()
        if source.is_dir():
            _walk(source, listing)
        else:
            _unpack(stack, source, listing)
        listing.pictures.sort(key=lambda entry: entry.name)
        yield listing


def _walk(folder: Path, listing: Listing) -> None:
    """Lists every file below `folder`, but for what the runs in it have drawn; links to folders are followed, once each."""

    def complain(error: OSError) -> None:
        raise DataError(f"{error.filename or folder}: the folder cannot be read ({error.strerror or error})") from error

    visited = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        place = os.path.realpath(here)
        if place in visited or (Path(here) != folder and {*folders, *files} >= _RUN):
            folders.clear()
            continue
        visited.add(place)
        folders.sort()  # of two links to one folder it is always the same that is followed
        for file in files:
            path = Path(here, file)
            # A pipe or a device would be waited for; a link that leads nowhere is told of when it is opened.
            if path.is_file() or not path.exists():
                listing.add(path.relative_to(folder).as_posix(), lambda path=path: path.open("rb"), lambda path=path: _beginning(path))


def _beginning(path: Path) -> bytes:
    """The first bytes; none of what has no length, for of what a system makes up in files like these some would be waited for."""
    try:
        if not path.stat().st_size:
            return b""
        with path.open("rb") as file:
            return file.read(formats.START)
    except OSError:
        return b""


def _unpack(stack: contextlib.ExitStack, source: Path, listing: Listing) -> None:
    """Lists every file in the zip, which is read in place."""
    held = stack.enter_context(archive.opened(source))
    infos, listing.left_out = archive.members(held)
    for name, info in infos.items():

        def content(info: archive.ZipInfo = info) -> io.BytesIO:
            return archive.content(held, info)

        def beginning(info: archive.ZipInfo = info) -> bytes:
            return archive.beginning(held, info, formats.START)

        listing.add(name, content, beginning)
    archive.check_total(source, [infos[entry.name] for entry in (*listing.pictures, *listing.tables)])
