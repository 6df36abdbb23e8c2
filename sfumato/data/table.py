"""`dataset.json`: the table of classes in data sets of StyleGAN.

    {"labels": [["00000/img00000000.png", 3], ["00000/img00000001.png", 0]]}   or   {"labels": null}

Names are relative to the folder of the file (T. Karras et al., https://github.com/NVlabs/stylegan2-ada-pytorch, dataset_tool.py).
"""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import PurePosixPath

from sfumato.core.catalog import composed
from sfumato.core.errors import DataError, ImageError
from sfumato.io.decode import Opened, reading

NAME = "dataset.json"

_LARGEST = 1 << 28
"""Largest table in bytes; a million pictures take a fifth of this."""

_NUMBER = re.compile("-?[0-9]{1,18}")

Table = dict[str, str]
"""The class of each picture, by its name in composed Unicode."""


def read(open_file: Callable[[], AbstractContextManager[Opened]], name: str, source: str) -> Table | None:
    """Picture to class from the file called `name` of `source`; None if it is another kind of JSON file.

    Names of pictures are relative to `source`. Empty if the table has no labels. Raises DataError if the file is damaged, or its labels are
    no classes.
    """
    try:
        with reading(name), open_file() as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DataError(f"{source}: {name} is larger than {_LARGEST >> 20} MiB; remove it, and put each class into a folder")
        value = json.loads(content)
    except ImageError as error:
        raise DataError(f"{source}: {error}") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise DataError(f"{source}: {name} is no JSON ({why}); repair it, or remove it to train without its labels") from error
    if not isinstance(value, dict) or "labels" not in value:
        return None
    rows, folder = value["labels"], PurePosixPath(name).parent
    pairs = list(rows.items()) if isinstance(rows, dict) else [] if rows is None else rows
    if not isinstance(pairs, list) or not all(_is_row(row) for row in pairs):
        raise DataError(
            f"{source}: the labels in {name} must be pairs of a picture's name and its class, a whole number or a name; "
            "repair it, or remove it to train without its labels"
        )
    return {composed((folder / row[0]).as_posix()): composed(str(row[1])) for row in pairs}


def classes(table: Table) -> tuple[str, ...]:
    """The classes in the table: numbers in numeric order, then names in alphabetical order."""
    return tuple(sorted(set(table.values()), key=lambda label: (0, int(label), "") if _NUMBER.fullmatch(label) else (1, 0, label)))


def _is_row(row: object) -> bool:
    if not isinstance(row, list | tuple) or len(row) != 2:
        return False
    return isinstance(row[0], str) and isinstance(row[1], int | str) and not isinstance(row[1], bool)
