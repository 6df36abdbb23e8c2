"""The bytes of a compressed file, in whatever way it is given, and its name in messages."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from sfumato.core.errors import CheckpointError, FormatError, ImageError, SettingError
from sfumato.io.inputs import BinaryFile

LARGEST_FILE = 1 << 30
"""Bytes of the largest file that is read."""

CompressedInput: TypeAlias = str | Path | bytes | bytearray | BinaryFile
"""A file of `compress`: its path, its bytes, or a file that is open for reading."""


def read_file(path: Path) -> bytes:
    """The bytes of a compressed file. Raises ImageError if it cannot be read or is too large."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ImageError(f"{path}: is larger than {LARGEST_FILE >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def opened(source: CompressedInput) -> Iterator[bytes]:
    """The bytes of `source`; inside the `with`, errors about them begin with the path, if there is one.

    An open file is read from its present position. Raises ImageError for a file that cannot be read or is too large.
    """
    if isinstance(source, bytes | bytearray):
        yield bytes(source)
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        with naming(path):
            yield read_file(path)
    else:
        data = source.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ImageError(f"the file is larger than {LARGEST_FILE >> 30} GiB")
        yield data


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the name of a file before the message of an error about it."""
    try:
        yield
    except (SettingError, FormatError, ImageError, CheckpointError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
