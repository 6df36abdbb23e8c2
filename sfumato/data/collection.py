"""The images of a folder or a zip as one data set: choose, look at the headers, decode in threads, leave out what is broken."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from sfumato.core import runtime
from sfumato.core.errors import DataError, ImageError
from sfumato.core.image import Bytes
from sfumato.data import decode, listing
from sfumato.data.dataset import Dataset
from sfumato.data.decode import Crop, Facts
from sfumato.data.known import Part
from sfumato.data.listing import Entry

T = TypeVar("T")
R = TypeVar("R")

LARGEST_OWN, DEFAULT = 256, (64, 64)
"""Images that agree on a size up to the first, in pixels, keep it; all others become the second."""

_FEW, _SLOW = 16, 1e-3
"""Threads are used if this many items take more than this many seconds each."""


def collection(
    source: Path, *, size: tuple[int, int] | None, channels: int | None, part: Part, crop: Crop, tolerance: float
) -> tuple[Dataset, bool]:
    """The images of a folder or zip, in the order of their names, and whether the names told `part` from the rest.

    The arguments are those of `load`. Where the names tell no parts, all images come back. Raises DataError as `load` does.
    """
    with chosen(source, part) as (files, paths, classes, marked):
        pixels, broken = _pixels(source, files, size=size, channels=channels, crop=crop, tolerance=tolerance)
    numbers = [classes.index(path[0]) for place, path in enumerate(paths) if place not in broken] if classes else None
    labels = None if numbers is None else torch.tensor(numbers, dtype=torch.int64)
    return Dataset(name=called(source), pixels=pixels, labels=labels, classes=classes, skipped=tuple(broken.values())), marked


Chosen = tuple[list[Entry], list[tuple[str, ...]], tuple[str, ...], bool]


@contextlib.contextmanager
def chosen(source: Path, part: Part) -> Iterator[Chosen]:
    """The image files of `part`, their paths without what all share, the class names of all parts, and whether names tell the parts.

    Raises DataError if the source holds less than two images.
    """
    with listing.entries(source) as found:
        if len(found) < 2:
            held = f"holds {'one image' if found else 'no image'}, and 2 are the least; looked for names ending in"
            raise DataError(f"{source}: {held} {', '.join(sorted(decode.SUFFIXES))}")
        paths = listing.unwrap([entry.name for entry in found])
        marks = listing.parts(paths)
        if marks:
            paths = [path[1:] for path in paths]
        mine = [i for i in range(len(found)) if not marks or part in ("all", marks[i])]
        yield [found[i] for i in mine], [paths[i] for i in mine], listing.classes(paths), bool(marks)


def called(source: Path) -> str:
    """The name of a folder or a zip, without the zip's ending."""
    return source.resolve().name.removesuffix(source.suffix if source.is_file() else "")


def each(do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`do` of every item, in order; in threads if the first few are slow.

    The image library works outside Python's lock, but for small images handing the lock around costs more than the work.
    """
    start = time.perf_counter()
    first = [do(item) for item in items[:_FEW]]
    if time.perf_counter() - start < _SLOW * _FEW:
        return first + [do(item) for item in items[_FEW:]]
    with ThreadPoolExecutor(runtime.cores()) as pool:
        return first + list(pool.map(do, items[_FEW:]))


def _pixels(
    source: Path, files: Sequence[Entry], *, size: tuple[int, int] | None, channels: int | None, crop: Crop, tolerance: float
) -> tuple[Bytes, dict[int, str]]:
    """The images that can be read, and for the place of each that cannot: its name and why."""
    broken: dict[int, str] = {}
    if size is None or channels is None:
        seen = each(look, files)
        broken = {i: fact for i, fact in enumerate(seen) if isinstance(fact, str)}
        judge(source, broken, len(files), tolerance)
        size, channels = _policy([fact for fact in seen if isinstance(fact, Facts)], size, channels)
    pixels = _room(source, (len(files), channels, *size))
    rows = pixels.numpy()

    def read(i: int) -> tuple[int, str]:
        try:
            rows[i] = decode.decode(files[i].open, files[i].name, channels=channels, size=size, crop=crop).transpose(2, 0, 1)
        except ImageError as error:
            return i, str(error)
        return i, ""

    broken |= {i: problem for i, problem in each(read, [i for i in range(len(files)) if i not in broken]) if problem}
    judge(source, broken, len(files), tolerance)
    whole = [i for i in range(len(files)) if i not in broken]
    return pixels if not broken else pixels[whole], dict(sorted(broken.items()))


def _room(source: Path, shape: tuple[int, int, int, int]) -> Bytes:
    try:
        return torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        need = f"{shape[0]} images of {shape[2]} x {shape[3]} need {math.prod(shape) / 1e9:.1f} GB of memory"
        raise DataError(f"{source}: {need}, more than there is; ask for a smaller size") from error


def look(entry: Entry) -> Facts | str:
    """What the header says, or why it cannot be read."""
    try:
        return decode.facts(entry.open, entry.name)
    except ImageError as error:
        return str(error)


def _policy(seen: Sequence[Facts], size: tuple[int, int] | None, channels: int | None) -> tuple[tuple[int, int], int]:
    """The size and channels that None stands for."""
    sizes = {fact.size for fact in seen}
    own = sizes.pop() if len(sizes) == 1 else DEFAULT
    return size or (own if max(own) <= LARGEST_OWN else DEFAULT), channels or (1 if all(fact.grey for fact in seen) else 3)


def judge(source: Path, broken: dict[int, str], count: int, tolerance: float) -> None:
    """Raises DataError if too many files are broken, or too few images left."""
    if broken and (len(broken) > tolerance * count or count - len(broken) < 2):
        allowed = f"at most {tolerance:.0%} may be so, and 2 images are the least that can be used"
        first = "; ".join([broken[i] for i in sorted(broken)][:3])
        raise DataError(f"{source}: {len(broken)} of {count} images cannot be read; {allowed}; the first are: {first}")
    if count < 2:
        raise DataError(f"{source}: one image is not a data set; 2 are the least")
