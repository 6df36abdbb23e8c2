"""The pictures of a batch: each with its place, its companion and its result; copies of those that are not files of this machine.

    Item (source) ─ fetched ─> path of a file that can be opened ─ work ─> result at `target`

A source is the path of a file, a member of a tar (`photos.tar!a/1.jpg`) or an address (`s3://bucket/1.jpg`).
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from sfumato.batch import addresses, tar_shards
from sfumato.batch.addresses import ByteSource
from sfumato.core.errors import ImageError
from sfumato.core.text import printable
from sfumato.io.archive import MAX_ENTRY

_BLOCK = 1 << 20


class ItemRow(TypedDict):
    """An item as JSON."""

    item: str
    target: str
    companion: NotRequired[str | None]
    problem: NotRequired[str]
    pixels: NotRequired[float | None]
    count: NotRequired[int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One picture to work on."""

    source: str
    """Path of a file, member of a tar, or address."""
    target: Path
    """Path of the result."""
    companion: Path | None = None
    """A second file that belongs to the picture, such as its mask."""
    problem: str = ""
    """Reason why no work can be done on the picture, known before the work; empty without one."""
    pixels: float | None = None
    """Number of pixels, if known."""
    count: int = 1
    """Number of pictures, for progress: more than one for a file that lists pictures."""

    @property
    def is_file(self) -> bool:
        """Whether the source is the path of a file."""
        return not is_remote(self.source)

    def row(self) -> ItemRow:
        """The item as JSON."""
        companion = None if self.companion is None else str(self.companion)
        row: ItemRow = {"item": self.source, "target": str(self.target), "companion": companion, "problem": self.problem}
        row["pixels"] = self.pixels
        return row if self.count == 1 else {**row, "count": self.count}

    @staticmethod
    def of(row: ItemRow) -> "Item":
        """The item that `row` has returned."""
        companion = row.get("companion")
        problem, beside = row.get("problem") or "", Path(companion) if companion else None
        count = row.get("count", 1)
        return Item(
            source=row["item"], target=Path(row["target"]), companion=beside, problem=problem, pixels=row.get("pixels"), count=count
        )


def keep_originals(items: Sequence[Item], others: Iterable[Path] = ()) -> tuple[list[Item], bool]:
    """The items, with a problem where the target is the source of an item or one of the `others`; and whether any target is not."""
    folders: dict[Path, str] = {}

    def real(path: Path) -> str:
        """The path without links; each folder is looked up once."""
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        place = os.path.join(folders[path.parent], path.name)
        return os.path.realpath(place) if os.path.islink(place) else place

    originals = {real(Path(item.source)) for item in items if item.is_file} | {real(path) for path in others}
    kept, free = [], False
    for item in items:
        if real(item.target) in originals:
            words = f"{item.source}: {item.target} is an original and would be written over; choose another --out"
            kept.append(dataclasses.replace(item, problem=words))
            continue
        kept.append(item)
        free = True
    return kept, free


def is_remote(source: str) -> bool:
    """Whether a source is an address or a member of a tar, of which `fetched` makes a copy."""
    return addresses.is_address(source) or tar_shards.is_member(source)


@contextlib.contextmanager
def fetched(source: str) -> Iterator[Path]:
    """The path of a file with the content of `source`: the file itself, or a copy that is removed at the end of the `with`.

    Raises ImageError if the source cannot be read, or is larger than `archive.MAX_ENTRY`.
    """
    if not is_remote(source):
        yield Path(source)
        return
    name = source.rpartition("!")[2].rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        path = Path(folder, name)
        try:
            with opened(source) as file, path.open("wb") as copy:
                bounded = _Bounded(file, source)
                while block := bounded.read(_BLOCK):
                    copy.write(block)
        except OSError as error:
            raise ImageError(f"{printable(source)}: cannot be read ({error.strerror or error})") from error
        yield path


@contextlib.contextmanager
def opened(source: str) -> Iterator[ByteSource]:
    """The bytes of a member of a tar, or of the object at an address. Raises ImageError if there is none, and OSError."""
    with tar_shards.opened(source) if tar_shards.is_member(source) else addresses.opened(source) as file:
        yield file


class _Bounded:
    """A file that refuses to give more than `MAX_ENTRY` bytes."""

    def __init__(self, file: ByteSource, name: str) -> None:
        self._file, self._name, self._left = file, name, MAX_ENTRY

    def read(self, size: int) -> bytes:
        """The next bytes. Raises ImageError beyond the limit."""
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise ImageError(f"{printable(self._name)}: is larger than the {MAX_ENTRY >> 20} MiB allowed; make the file smaller")
        return block
