"""Checks of the files that a verb is to read, before its work: each function returns the path that it checks, or raises an error.

No file is opened: the code that reads a file reports that it cannot be used. Models are checked by `existing_model` (`store/weights.py`),
and data sets by `existing_data` (`data/scenes.py`).
"""

import os
from pathlib import Path
from typing import TypeVar

from sfumato.core.errors import SettingError

Named = TypeVar("Named", bound=str | Path | None)


def file(path: Named, *, made_by: str = "") -> Named:
    """The path of one file, or None for none. Raises SettingError, naming the verb that files are `made_by`, if it cannot be read."""
    if path is None:
        return path
    place = Path(path).expanduser()
    advice = f"`sfumato {made_by}` makes such files" if made_by else "name another"
    if "\0" in str(path) or not os.path.lexists(place):
        raise SettingError(f"there is no file {str(path)!r}; {advice}")
    if place.is_dir():
        raise SettingError(f"{path} is a folder, and one file is to be read; {advice}")
    if not os.access(place, os.R_OK):
        raise SettingError(f"{path} cannot be read; look at its permissions, or name another")
    return path


def place(path: Named) -> Named:
    """The path of a file or a folder, or None for none. Raises SettingError if it is not there."""
    return path if path is not None and Path(path).expanduser().is_dir() else file(path)
