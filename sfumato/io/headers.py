"""Format and number of pixels of the picture files of a run, read once for each file and cached.

path ─ Headers.of ─> Header (kind, pixel_count), from one opening of the file
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

from sfumato.core.errors import SfumatoError
from sfumato.io import formats, streaming
from sfumato.io.formats import Kind


class Header(NamedTuple):
    """Format and number of pixels of a file."""

    kind: Kind | None
    """The format, as of `formats.identify_file`; None if the file is no picture and no film, and for a folder, a pipe or a device."""
    pixel_count: float | None
    """Number of pixels; None for a file that cannot be read."""


class Headers:
    """Cache of the headers of the files of one run."""

    def __init__(self) -> None:
        self._kept: dict[Path, Header] = {}

    def of(self, path: Path) -> Header:
        """The header of the file at `path`. For a file that cannot be opened, the format of its name and no number of pixels."""
        if path not in self._kept:
            self._kept[path] = _read(path)
        return self._kept[path]

    def readable(self, path: Path) -> bool:
        """Whether the file at `path` is a picture that can be read, or a damaged file with the name of one; as `formats.readable`."""
        return path.is_file() and (kind := self.of(path).kind) is not None and kind.read

    def kind(self, path: Path) -> Kind | None:
        """The format of the file at `path`, as in `Header`."""
        return self.of(path).kind

    def pixel_count(self, path: Path) -> float | None:
        """Number of pixels of the file at `path`; None for a file that cannot be read, whose processing reports the error."""
        return self.of(path).pixel_count


def _read(path: Path) -> Header:
    kind = None
    with contextlib.suppress(OSError, SfumatoError):
        if path.exists() and not path.is_file():  # opening a pipe would block
            return Header(None, None)
        with path.open("rb") as file:
            kind = formats.identify(file.read(formats.START), path.name)
            if kind is not None and kind.read:
                return Header(kind, streaming.megapixels(path, file=file) * 1e6)
            return Header(kind, None)
    return Header(kind or formats.identify(b"", path.name), None)
