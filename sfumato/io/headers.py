"""What kind of picture each file of a run is and how many pixels it has: every file is looked at once, however often that is asked.

path ─ Headers.of ─> Header (kind, pixels), from one opening of the file
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

from sfumato.core.errors import SfumatoError
from sfumato.io import formats, streaming
from sfumato.io.formats import Kind


class Header(NamedTuple):
    """What the beginning of a file says."""

    kind: Kind | None
    """As `kinds.identify_file` has it; None for what is no picture and no film, and for a folder, a pipe or a device."""
    pixel_count: float | None
    """How many there are; None for what cannot be read."""


class Headers:
    """The headers of the files of one run, kept from the first question on."""

    def __init__(self) -> None:
        self._kept: dict[Path, Header] = {}

    def of(self, path: Path) -> Header:
        """The header of the file at `path`. A file that cannot be opened has the kind that its name claims, and no pixels."""
        if path not in self._kept:
            self._kept[path] = _read(path)
        return self._kept[path]

    def readable(self, path: Path) -> bool:
        """As `kinds.readable`: whether there is a file that is a picture which can be read here, or is called like one and damaged."""
        return path.is_file() and (kind := self.of(path).kind) is not None and kind.read

    def kind(self, path: Path) -> Kind | None:
        """The kind of the file at `path`."""
        return self.of(path).kind

    def pixel_count(self, path: Path) -> float | None:
        """How many pixels the file at `path` has; None for what cannot be read, of which its turn will tell."""
        return self.of(path).pixel_count


def _read(path: Path) -> Header:
    kind = formats.identify(b"", path.name)
    with contextlib.suppress(OSError, SfumatoError):
        if path.exists() and not path.is_file():  # a pipe would be waited for
            return Header(None, None)
        with path.open("rb") as file:
            kind = formats.identify(file.read(formats.START), path.name)
            if kind is not None and kind.read:
                return Header(kind, streaming.megapixels(path, file=file) * 1e6)
    return Header(kind, None)
