"""Which part of the data each picture is, and which class, told from the names of its folders or by a table beside the pictures.

train/cat/1.png   validation/cat/2.png       parts, and classes in them
cat/1.png   cat/old/2.png   dog/3.png        classes: the outermost folders that differ
00000/img00000000.png   dataset.json         StyleGAN's numbered folders are no classes; the table says what is one
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sfumato.core.catalog import composed
from sfumato.data import table as tables
from sfumato.data.table import Table

NameParts = tuple[str, ...]
"""The parts of a picture's name, without the folders that all pictures lie in."""

Classes = tuple[tuple[str, ...], list[str | None], str]
"""The classes, that of each picture or None, and why there are these or none."""

_TRAIN_NAMES = ("train", "training")
_HELD_NAMES = (("test", "testing"), ("val", "valid", "validation"))
"""The first that there are hold the test part."""
_SHARD = re.compile(r"(\d{5})/img(\d{5})\d{3}\.\w+")

_STRAY = 20
"""One picture in so many, and at least one, may lie outside of what the others make a layout of."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the names of pictures say, of those that are used: a picture that fits nowhere is left out."""

    places: list[int]
    """Which of the names they are."""
    parts: list[str] | None
    """`train` or `test` for each picture, `val` for what belongs to neither; None if the names do not say."""
    classes: tuple[str, ...]
    labels: list[int]
    """The number of the class of each picture; empty without classes."""
    labels_from: str
    """Where the classes come from or, if there are none, why not."""
    left_out: list[str]
    """A line for each kind of picture that was left out."""


def layout(names: Sequence[str], table: Table | None, *, labelled: bool = True) -> Layout:
    """The parts and classes of pictures with these names; a `table` decides on the classes, if there is one.

    Without `labelled` there are no classes, and no picture is left out for having none.
    """
    paths, places, odd = unwrap(names), list(range(len(names))), []
    marks = parts(paths)
    if marks is not None:
        if stray := [names[i] for i in places if not marks[i]]:
            odd.append(f"{_first_and_count(stray)}: outside the folders of training and test pictures")
        places = [i for i in places if marks[i]]
        inner = unwrap(["/".join(paths[i][1:]) for i in places])
        marks = [marks[i] for i in places]
    else:
        inner = paths
    mine = [names[i] for i in places]
    classes, named, why = ((), [], "") if not labelled else _by_table(mine, table) if table is not None else _by_folders(inner)
    if classes and (stray := [name for name, label in zip(mine, named, strict=True) if label is None]):
        odd.append(f"{_first_and_count(stray)}: in no class")
    used = [i for i in range(len(places)) if not classes or named[i] is not None]
    number = {name: i for i, name in enumerate(classes)}
    return Layout(
        places=[places[i] for i in used],
        parts=None if marks is None else [marks[i] for i in used],
        classes=classes,
        labels=[number[label] for label in named if label is not None] if classes else [],
        labels_from=why,
        left_out=odd,
    )


def unwrap(names: Sequence[str]) -> list[NameParts]:
    """The names as path parts, without the folders that all of them lie in.

    >>> unwrap(["photos/cat/1.png", "photos/dog/1.png"])
    [('cat', '1.png'), ('dog', '1.png')]
    """
    paths = [PurePosixPath(name).parts for name in names]
    depth = 0
    while paths and all(len(path) > depth + 1 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return [path[depth:] for path in paths]


def parts(paths: Sequence[NameParts]) -> list[str] | None:
    """`train` or `test` for each image, if some lie in a folder called train (or training) and some in one called test (or val).

    Images in a val folder belong to neither part where there is a test folder too, and are marked `val`; what lies in no such folder
    is marked with nothing. None if there are no such folders.
    """
    folders = {path[0].lower() for path in paths if len(path) > 1}
    held = next((names for names in _HELD_NAMES if folders & {*names}), None)
    if held is None or not folders & {*_TRAIN_NAMES}:
        return None
    kinds = dict.fromkeys((name for names in _HELD_NAMES for name in names), "val") | dict.fromkeys(held, "test")
    kinds |= dict.fromkeys(_TRAIN_NAMES, "train")
    return [kinds.get(path[0].lower(), "") if len(path) > 1 else "" for path in paths]


def _by_table(names: Sequence[str], table: Table) -> Classes:
    if not table:
        return (), [], f"{tables.NAME} says that there are none"
    named = [table.get(composed(name)) for name in names]
    missing = [name for name, label in zip(names, named, strict=True) if label is None]
    if len(missing) > max(1, len(names) // _STRAY):
        return (), [], f"{tables.NAME} does not name {len(missing):,} of {len(names):,} pictures, such as {missing[0]}"
    classes = tables.classes({name: label for name, label in zip(names, named, strict=True) if label is not None})
    if len(classes) < 2:
        return (), [], f"{tables.NAME} puts all pictures into one"
    return classes, named, tables.NAME


def _by_folders(paths: Sequence[NameParts]) -> Classes:
    """Classes are the outermost folders that differ."""
    named = [composed(path[0]) if len(path) > 1 else None for path in paths]
    classes = sorted({name for name in named if name is not None})
    loose = ["/".join(path) for path, name in zip(paths, named, strict=True) if name is None]
    if not classes:
        return (), [], "the pictures lie in one folder"
    if all(_is_shard(path) for path in paths):
        return (), [], f"folders such as {classes[0]} are numbered, and there is no {tables.NAME}"
    if len(loose) > max(1, len(paths) // _STRAY):
        return (), [], f"{len(loose):,} of {len(paths):,} pictures lie beside the folders, such as {loose[0]}"
    if len(classes) < 2:
        return (), [], f"there is one folder, {classes[0]}, and two classes are the least"
    return tuple(classes), named, "the names of folders"


def _is_shard(path: NameParts) -> bool:
    """Whether StyleGAN's tools number folders so: the thousands of the pictures in them."""
    match = _SHARD.fullmatch("/".join(path))
    return match is not None and match[1] == match[2]


def _first_and_count(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"
