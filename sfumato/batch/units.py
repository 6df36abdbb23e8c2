"""Units of a batch: some pictures in one file, which is the list of the work, its claim and its manifest at once.

    000007.todo ─ renamed by the process that takes it ─> 000007.p3 ─ a line for each result ─ renamed ─> 000007.done

A rename is atomic: of two processes that want a unit, one gets it. When a process is killed, the lines in its file say which results are
whole. The file becomes `.todo` again, and the next process that takes it continues after them. No two processes write to one file.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sfumato.batch.items import Item, ItemRow
from sfumato.batch.manifest import Manifest, Status
from sfumato.core import atomic_io, schema
from sfumato.core.errors import FormatError

TODO, DONE = ".todo", ".done"
_PLACE = ".sfumato-units"
_LARGEST = 32
"""Most pictures of a unit: enough small ones for a common batch, few enough to share the last of them well."""


def place(folder: Path, manifest: str) -> Path:
    """The folder of the units of a run into `folder` with the manifest of this name."""
    return folder / f"{_PLACE}-{Path(manifest).stem}"


def size(count: int, workers: int) -> int:
    """Number of pictures of a unit: each process gets at least eight units if there are so many pictures.

    >>> size(400, 2), size(7, 4), size(100_000, 8)
    (25, 1, 32)
    """
    return max(1, min(_LARGEST, count // (8 * workers)))


def write(path: Path, items: Sequence[Item], manifest: Manifest) -> None:
    """Writes a unit with these items, and with the lines of `manifest` about them, to the file `path`. Raises StorageError.

    The file has its name only when it is whole: a process that is looking for a unit would take it at once.
    """
    lines = []
    for item in items:
        name = manifest.place(item.target)
        lines.append({"place": name, "status": Status.TODO, "source": "", **item.row()})
        if (carried_line := manifest.carried(item.target)) is not None:
            lines.append(carried_line)
    begun = path.with_suffix(".part")
    with atomic_io.storing(path):
        begun.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        begun.rename(path)


def read(path: Path) -> list[Item]:
    """The items of a unit. Raises StorageError if the file cannot be read."""
    items = []
    with atomic_io.storing(path), path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(FormatError):
                items.append(Item.of(schema.parsed(line, ItemRow, str(path))))
    return items


def claim(folder: Path, worker: str) -> Path | None:
    """Takes the first free unit of `folder` for the process called `worker`; None if there is none."""
    for path in sorted(folder.glob(f"*{TODO}")):
        if (claimed := take(path, worker)) is not None:
            return claimed
    return None


def take(path: Path, worker: str) -> Path | None:
    """Takes the unit at `path` for the process called `worker`, and returns its new path; None if another process was faster."""
    claimed = path.with_suffix(f".{worker}")
    try:
        path.rename(claimed)
    except FileNotFoundError:
        return None
    return claimed


def free(path: Path) -> None:
    """Gives a unit back, whose process has ended."""
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_suffix(TODO))


def finish(path: Path) -> Path:
    """Marks a unit as done, and returns its new path."""
    done = path.with_suffix(DONE)
    path.rename(done)
    return done


def settle(path: Path, manifest: Manifest) -> None:
    """Puts the lines of a unit into the manifest, and removes the unit."""
    manifest.merge(path)
    path.unlink()


def recover(folder: Path, manifest: Manifest) -> None:
    """Puts the lines of all units that a killed run has left in `folder` into the manifest, and removes them."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            manifest.merge(path)
    with atomic_io.storing(folder):
        shutil.rmtree(folder)


@contextlib.contextmanager
def opened(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """An empty folder for units; at the end of the `with`, the lines of all units that are there are in the manifest."""
    recover(folder, manifest)
    with atomic_io.storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        recover(folder, manifest)
