"""Part (train, test) and class of each picture, from the names of its folders or from a table beside the pictures.

train/cat/1.png   validation/cat/2.png       parts, and classes in them
cat/1.png   cat/old/2.png   dog/3.png        classes: the outermost folders that differ
00000/img00000000.png   dataset.json         StyleGAN's numbered folders are no classes; the table holds the classes
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sfumato.core.catalog import composed
from sfumato.data import table as tables
from sfumato.data.table import Table

NameParts = tuple[str, ...]
"""The folders and file name of a picture, without the folders common to all pictures."""

Classes = tuple[tuple[str, ...], list[str | None], str]
"""The classes, the class of each picture or None, and their source or the reason why there are none."""

_TRAIN_NAMES = ("train", "training")
_HELD_NAMES = (("test", "testing"), ("val", "valid", "validation"))
"""Names of folders of the test part; the first group that exists is used."""
_SHARD = re.compile(r"(\d{5})/img(\d{5})\d{3}\.\w+")

_STRAY = 20
"""One picture in so many, and at least one, may lie outside of the layout of the others and is left out."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Parts and classes of the pictures that are used; pictures that do not fit are left out."""

    places: list[int]
    """Index of each used picture in the list of names."""
    parts: list[str] | None
    """`train`, `test` or, for neither, `val` for each used picture; None if no folders name parts."""
    classes: tuple[str, ...]
    """Names of the classes; empty if there are none."""
    labels: list[int]
    """Index of the class of each used picture; empty without classes."""
    labels_from: str
    """Source of the classes or, if there are none, the reason."""
    left_out: list[str]
    """A line for each group of pictures that was left out."""


def layout(names: Sequence[str], table: Table | None, *, labelled: bool = True) -> Layout:
    """The parts and classes of pictures called `names`; classes come from `table`, if there is one, else from folders.

    Without `labelled`, classes are not determined, and no picture is left out for lack of a class.
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
    """The names split at slashes, without the folders common to all.

    >>> unwrap(["photos/cat/1.png", "photos/dog/1.png"])
    [('cat', '1.png'), ('dog', '1.png')]
    """
    paths = [PurePosixPath(name).parts for name in names]
    depth = 0
    while paths and all(len(path) > depth + 1 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return [path[depth:] for path in paths]


def parts(paths: Sequence[NameParts]) -> list[str] | None:
    """`train` or `test` for each image, if there are folders called train (or training) and test (or val, if there is no test).

    Images in a val folder beside a test folder are marked `val`, images in no such folder by empty text. None without such folders.
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
        return (), [], f"{tables.NAME} contains no labels"
    named = [table.get(composed(name)) for name in names]
    missing = [name for name, label in zip(names, named, strict=True) if label is None]
    if len(missing) > max(1, len(names) // _STRAY):
        return (), [], f"{tables.NAME} does not name {len(missing):,} of {len(names):,} pictures, such as {missing[0]}"
    classes = tables.classes({name: label for name, label in zip(names, named, strict=True) if label is not None})
    if len(classes) < 2:
        return (), [], f"{tables.NAME} has one class for all pictures"
    return classes, named, tables.NAME


def _by_folders(paths: Sequence[NameParts]) -> Classes:
    """Classes by the outermost folders that differ."""
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
    """Whether the folder is a shard of StyleGAN's tools, named by the thousands of the numbers of its pictures."""
    match = _SHARD.fullmatch("/".join(path))
    return match is not None and match[1] == match[2]


def _first_and_count(names: Sequence[str]) -> str:
    """The first name and the number of further ones, for a line of text."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"
