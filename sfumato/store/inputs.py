"""What a verb reads, looked for before the work: each function gives back what it was given, or says in one line that it is not there.

No file is opened: whoever reads a file reports that it cannot be used.
"""

import os
from pathlib import Path
from typing import TypeVar

from sfumato.core.catalog import suggest
from sfumato.core.errors import DataError, SettingError
from sfumato.data.scenes import SCENE_NAMES
from sfumato.store import public, weights

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


def model(which: Named) -> Named:
    """The name, file or run folder of a model, or None for none. Raises UnknownNameError as `weights.find` does."""
    if which is not None and not (isinstance(which, str) and which in public.NAMES):
        weights.find(which)
    return which


def data(source: Named) -> Named:
    """The name or place of a data set, or of several that `+` joins, or None. Raises DataError if one is neither known nor there."""
    if source is None or os.path.lexists(Path(source).expanduser()):
        return source
    for piece in str(source).split("+"):
        if piece not in SCENE_NAMES and ("\0" in piece or not os.path.lexists(Path(piece).expanduser())):
            raise DataError(f"no file or folder {piece!r}{suggest(piece, SCENE_NAMES)}; known data sets are {', '.join(SCENE_NAMES)}")
    return source
