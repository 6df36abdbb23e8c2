"""Images of a folder or a zip as a data set: selects a part, reads headers, decodes in threads and leaves out damaged files."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from sfumato.core.device import available_cores
from sfumato.core.errors import DataError, ImageError, MissingExtraError
from sfumato.core.tensors import Bytes, Crop, size_text
from sfumato.core.text import cut
from sfumato.data import content, layout, listing
from sfumato.data import table as tables
from sfumato.data.dataset import PURPOSES, Dataset, SplitBy
from sfumato.data.listing import Entry
from sfumato.data.public_sets import Part
from sfumato.io import decode
from sfumato.io.decode import Facts

T = TypeVar("T")
R = TypeVar("R")

LARGEST_OWN, DEFAULT = 256, (64, 64)
"""Images of one common size keep that size if its longer side is at most `LARGEST_OWN` pixels; others are resized to `DEFAULT`."""

_FEW, _SLOW = 16, 1e-3
"""Threads are used if the first `_FEW` items take more than `_SLOW` seconds each."""


def collection(
    source: Path, *, size: tuple[int, int] | None, channels: int | None, part: Part, crop: Crop, tolerance: float, split_by: SplitBy
) -> tuple[Dataset, bool]:
    """The images of a folder or zip in the order of their names, and whether folder names determined the `part`.

    The arguments are those of `load`. Without folders for parts, all images are returned. Raises DataError as `load` does.
    """
    with open_part(source, part) as contents:
        read = _Reading(source, contents.pictures, crop, placed=split_by == "original")
        pixels, broken = read.pixels(size, channels, tolerance)
    whole = [i for i in range(len(contents.pictures)) if i not in broken]
    labels = torch.tensor([contents.labels[i] for i in whole], dtype=torch.int64) if contents.classes else None
    data = Dataset(
        name=source_name(source),
        pixels=pixels,
        labels=labels,
        classes=contents.classes,
        labels_from=contents.labels_from,
        skipped=(*contents.left_out, *broken.values()),
        passed_over=contents.passed_over,
        kept_back=contents.other_parts,
        positions=torch.from_numpy(read.places[whole]) if split_by == "original" else None,
        split_by=split_by,
    )
    return data, contents.has_parts


@dataclass(frozen=True, kw_only=True)
class PartListing:
    """The picture files of one part of a folder or a zip, with their labels, before any is read."""

    pictures: list[Entry]
    """Files of the pictures, sorted by name."""
    classes: tuple[str, ...]
    """Names of the classes of all parts."""
    labels: list[int]
    """Index of the class of each picture; empty without classes."""
    labels_from: str
    """Source of the classes, or the reason why there are none."""
    has_parts: bool
    """Whether folder names determine the parts."""
    other_parts: int
    """Number of pictures in other parts."""
    left_out: list[str]
    """A line for each kind of picture that was left out."""
    passed_over: str
    """One line on ignored files that are no readable pictures."""


@contextlib.contextmanager
def open_part(source: Path, part: Part, *, labelled: bool = True) -> Iterator[PartListing]:
    """Yields the pictures of `part`, which can be opened inside the `with` only; without folders for parts, all pictures.

    Without `labelled`, classes are not determined, and pictures outside of class folders are included. Raises DataError for a source with
    less than two pictures, or with a table of classes that cannot be read.
    """
    with listing.listed(source) as contents:
        names, passed_over = [entry.name for entry in contents.pictures], contents.passed_over()
        if len(names) < 2:
            held = f"holds {'one picture' if names else 'no picture that can be read'}, and 2 are the least; add pictures"
            raise DataError("; ".join(filter(None, (f"{source}: {held}", passed_over))))
        assigned = layout.layout(names, _table(contents.tables, source) if labelled else None, labelled=labelled)
        mine = [i for i in range(len(assigned.places)) if assigned.parts is None or part in ("all", assigned.parts[i])]
        yield PartListing(
            pictures=[contents.pictures[assigned.places[i]] for i in mine],
            classes=assigned.classes,
            labels=[assigned.labels[i] for i in mine] if assigned.classes else [],
            labels_from=assigned.labels_from,
            has_parts=assigned.parts is not None,
            other_parts=len(assigned.places) - len(mine),
            left_out=contents.left_out + assigned.left_out,
            passed_over=passed_over,
        )


def _table(files: Sequence[Entry], source: Path) -> tables.Table | None:
    """The tables of classes in a folder or a zip, merged; None if there is no table."""
    read = [table for file in files if (table := tables.read(file.open, file.name, str(source))) is not None]
    return {name: label for table in read for name, label in table.items()} if read else None


def source_name(source: Path) -> str:
    """The name of a folder, or that of a zip without its ending."""
    return source.resolve().name.removesuffix(source.suffix if source.is_file() else "")


def map_in_threads(do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of `do` for all items, in order; computed in threads if the first few items are slow.

    Image decoding releases Python's global lock, but for small images passing the lock costs more than the work.
    """
    start = time.perf_counter()
    first = [do(item) for item in items[:_FEW]]
    if time.perf_counter() - start < _SLOW * _FEW:
        return first + [do(item) for item in items[_FEW:]]
    with ThreadPoolExecutor(available_cores()) as pool:
        return first + list(pool.map(do, items[_FEW:]))


class _Reading:
    """Reads the pictures of a folder or zip into one tensor."""

    def __init__(self, source: Path, files: Sequence[Entry], crop: Crop, *, placed: bool) -> None:
        self.source, self.files, self.placed = source, files, placed
        self.crop: Crop = crop
        self.places = np.zeros((len(files), len(PURPOSES)))
        """Split positions of the originals for each purpose, if `placed`."""

    def pixels(self, size: tuple[int, int] | None, channels: int | None, tolerance: float) -> tuple[Bytes, dict[int, str]]:
        """The images that can be read, and for the index of each that cannot, its name and the reason."""
        broken: dict[int, str] = {}
        facts: list[Facts | str] = []
        if size is None or channels is None or self.placed:
            facts = map_in_threads(read_facts, self.files)
            broken = {i: fact for i, fact in enumerate(facts) if isinstance(fact, str)}
            check_broken(self.source, broken, len(self.files), tolerance)
            size, channels = _policy([fact for fact in facts if isinstance(fact, Facts)], size, channels)
        pixels = _room(self.source, (len(self.files), channels, *size))
        rows = pixels.numpy()

        def read(i: int) -> tuple[int, str]:
            file = self.files[i]
            try:
                image = decode.decode(file.open, file.name, channels=channels, size=size, crop=self.crop)
                rows[i] = image.transpose(2, 0, 1)
                if self.placed and isinstance(fact := facts[i], Facts):
                    self.places[i] = content.split_positions(file, fact, image)
            except (ImageError, MissingExtraError) as error:
                return i, str(error)
            return i, ""

        broken |= {i: problem for i, problem in map_in_threads(read, [i for i in range(len(self.files)) if i not in broken]) if problem}
        check_broken(self.source, broken, len(self.files), tolerance)
        whole = [i for i in range(len(self.files)) if i not in broken]
        return pixels if not broken else pixels[whole], dict(sorted(broken.items()))


def _room(source: Path, shape: tuple[int, int, int, int]) -> Bytes:
    try:
        return torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        need = f"{shape[0]} images of {size_text(shape[2:])} need {math.prod(shape) / 1e9:.1f} GB of memory"
        raise DataError(f"{source}: {need}, more than is available; give a smaller size") from error


def read_facts(entry: Entry) -> Facts | str:
    """Size and colour of an image from its header, or the reason why the header cannot be read."""
    try:
        return decode.facts(entry.open, entry.name)
    except (ImageError, MissingExtraError) as error:
        return str(error)


def _policy(headers: Sequence[Facts], size: tuple[int, int] | None, channels: int | None) -> tuple[tuple[int, int], int]:
    """Size and number of channels of the data set, chosen from the headers where they are None."""
    sizes = {fact.size for fact in headers}
    own = sizes.pop() if len(sizes) == 1 else DEFAULT
    return size or (own if max(own) <= LARGEST_OWN else DEFAULT), channels or (1 if all(fact.grey for fact in headers) else 3)


def check_broken(source: Path, broken: dict[int, str], count: int, tolerance: float) -> None:
    """Raises DataError if more than the share `tolerance` of `count` files is broken, or less than two images remain."""
    if broken and (len(broken) > tolerance * count or count - len(broken) < 2):
        allowed = f"at most {tolerance:.0%} may be damaged, and 2 images must remain"
        first = "; ".join(cut(broken[i]) for i in sorted(broken)[:3])
        raise DataError(f"{source}: {len(broken)} of {count} images cannot be read; {allowed}; the first are: {first}")
    if count < 2:
        raise DataError(f"{source}: one image is not a data set; add images, 2 are the least")
