"""The folder is the register: a name is a file in a room.

`Catalog("sfumato.models")["vae"]` imports sfumato/models/vae.py and hands back its `Config`. Nothing is imported before
it is asked for, nothing registers itself, and there is no list to keep.
"""

import difflib
import importlib
import importlib.util
import pkgutil
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from sfumato.core.errors import UnknownNameError
from sfumato.core.text import quoted

Entry = TypeVar("Entry")


class Catalog(Generic[Entry]):
    """One room, looked up by file name; folders, `base` and names with a leading underscore are not entries.

    `Entry` is the type that every file of the room has under the name `entry`: the room's own tests hold it.
    """

    def __init__(self, room: str, entry: str = "Config") -> None:
        self.room, self.entry = room, entry

    def __iter__(self) -> Iterator[str]:
        return iter(self.files())

    def files(self) -> list[str]:
        """The names of the files of the room that are entries, sorted."""
        package = importlib.import_module(self.room)
        names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg)
        return [n for n in names if n != "base" and not n.startswith("_")]

    def __getitem__(self, name: str) -> Entry:
        if name not in self.files():
            raise UnknownNameError(f"{self.room} has no {quoted(name)}{suggest(name, self)}; it has {', '.join(self)}")
        module = importlib.import_module(f"{self.room}.{name}")
        if not hasattr(module, self.entry):
            raise UnknownNameError(f"{self.room}.{name} has no {self.entry}: it is not something to choose by name")
        return getattr(module, self.entry)


def from_file(path: Path, entry: str = "Config") -> object:
    """`entry` of a Python file of the user's own.

    Runs the file: only ever call this with a path that the user typed, never with one read from a checkpoint.
    Raises UnknownNameError if there is no such file or nothing of that name in it.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UnknownNameError(f"no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, entry):
        raise UnknownNameError(f"{path} defines no {entry!r}")
    return getattr(module, entry)


def composed(name: str) -> str:
    """`name` in Unicode's composed form, in which names of classes are kept and looked up: a Mac takes apart the names of its files.

    >>> composed("e" + chr(0x301)) == chr(0xE9)
    True
    """
    return unicodedata.normalize("NFC", name)


def suggest(name: str, names: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the known name nearest to `name`, or nothing if none is near.

    >>> suggest("widht", ["width", "depth"])
    " (did you mean 'width'?)"
    """
    near = difflib.get_close_matches(name[:100], list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
