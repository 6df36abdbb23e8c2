"""`dataset.json`: which picture is of which class, as the data sets of StyleGAN say it.

    {"labels": [["00000/img00000000.png", 3], ["00000/img00000001.png", 0]]}   or   {"labels": null}

Names are relative to the folder of the file (T. Karras et al., https://github.com/NVlabs/stylegan2-ada-pytorch, dataset_tool.py).
"""

import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from sfumato.core.catalog import composed
from sfumato.core.errors import DataError, ImageError
from sfumato.io.decode import Opened, reading

NAME = "dataset.json"

_LARGEST = 1 << 28
"""Bytes; a million pictures take a fifth of it."""

_NUMBER = re.compile("-?[0-9]{1,18}")

Table = dict[str, str]
"""The class of each picture, by its name in composed Unicode."""


def read(open_file: Callable[[], Opened], name: str, source: str) -> Table | None:
    """What the file called `name` says of the pictures of `source`, named from there; None if it is another kind of JSON file.

    Empty if it says that there are no classes. Raises DataError if it is damaged, or says something else than classes.
    """
    try:
        with reading(name), open_file() as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DataError(f"{source}: {name} is larger than {_LARGEST >> 20} MiB; take it away, and put each class into a folder")
        value = json.loads(content)
    except ImageError as error:
        raise DataError(f"{source}: {error}") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise DataError(f"{source}: {name} is no JSON ({why}); mend it, or take it away to train without its labels") from error
    if not isinstance(value, dict) or "labels" not in value:
        return None
    rows, folder = value["labels"], PurePosixPath(name).parent
    pairs = list(rows.items()) if isinstance(rows, dict) else [] if rows is None else rows
    if not isinstance(pairs, list) or not all(_is_row(row) for row in pairs):
        raise DataError(
            f"{source}: the labels in {name} must be pairs of a picture's name and its class, a whole number or a name; "
            "mend it, or take it away to train without its labels"
        )
    return {composed((folder / row[0]).as_posix()): composed(str(row[1])) for row in pairs}


def classes(table: Table) -> tuple[str, ...]:
    """The classes that occur: numbers in their order, then names in theirs."""
    return tuple(sorted(set(table.values()), key=lambda label: (0, int(label), "") if _NUMBER.fullmatch(label) else (1, 0, label)))


def _is_row(row: object) -> bool:
    if not isinstance(row, list | tuple) or len(row) != 2:
        return False
    return isinstance(row[0], str) and isinstance(row[1], int | str) and not isinstance(row[1], bool)
