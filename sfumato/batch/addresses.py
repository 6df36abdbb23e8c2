"""Pictures at addresses (`s3://bucket/photos`, `gs://`, `https://`, `memory://`), through the package fsspec.

    s3://bucket/photos/*.jpg ─ listed ─> s3://bucket/photos/a.jpg, ... ─ opened ─> bytes

Each protocol needs the package that fsspec names for it, such as s3fs. Settings and keys come from the environment and from the
configuration files of that package, never from the address.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from sfumato.core.errors import DataError, ImageError
from sfumato.core.extras import missing
from sfumato.core.text import printable

_ADDRESS = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]+://.")
_PATTERN = re.compile(r"[*?\[]")


@runtime_checkable
class ByteSource(Protocol):
    """An open file of bytes, of this machine, of a tar or of an address."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`."""
        ...


@runtime_checkable
class FileSystem(Protocol):
    """The methods of a file system of fsspec that are used here."""

    def glob(self, path: str) -> list[str]:
        """The paths that match a pattern."""
        ...

    def find(self, path: str) -> list[str]:
        """The paths of all files below a folder."""
        ...

    def isfile(self, path: str) -> bool:
        """Whether there is a file."""
        ...

    def unstrip_protocol(self, name: str) -> str:
        """The address of a path."""
        ...

    def open(self, path: str, mode: str) -> contextlib.AbstractContextManager[ByteSource]:
        """The file, open."""
        ...


def is_address(source: str) -> bool:
    """Whether a source is an address and no path.

    >>> is_address("s3://bucket/a.png"), is_address("photos/a.png"), is_address("C://a.png")
    (True, False, False)
    """
    return bool(_ADDRESS.match(source))


def listed(address: str) -> list[str]:
    """The addresses of the objects at an address, sorted: of one object, of all below a folder, or of all that match a pattern.

    Raises DataError if there is none, or if they cannot be listed; MissingExtraError without the package of the protocol.
    """
    system, path = _system(address)
    with _told(address, DataError):
        if _PATTERN.search(path):
            paths = system.glob(path)
        elif system.isfile(path):
            paths = [path]
        else:
            paths = system.find(path)
        objects = sorted(system.unstrip_protocol(each) for each in paths if system.isfile(each))
    if not objects:
        raise DataError(f"nothing at {printable(address)}; check the address")
    return objects


@contextlib.contextmanager
def opened(address: str) -> Iterator[ByteSource]:
    """The object at an address, open for reading. Raises ImageError if it cannot be read."""
    system, path = _system(address)
    with _told(address, ImageError):
        file = system.open(path, "rb")
    with file as content:
        yield content


def relative(address: str, source: str) -> str:
    """The name of the object at `address` relative to the `source` that listed it: below a folder its path, else its last name."""
    root = source.rstrip("/") + "/"
    below = not _PATTERN.search(source) and address.partition("://")[2].lstrip("/").startswith(root.partition("://")[2].lstrip("/"))
    return address.partition("://")[2].lstrip("/")[len(root.partition("://")[2].lstrip("/")) :] if below else address.rpartition("/")[2]


def _system(address: str) -> tuple[FileSystem, str]:
    """The file system of an address, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise missing(f"{printable(address)} needs", "fsspec") from error
    with _told(address, DataError):
        return fsspec.core.url_to_fs(address)


@contextlib.contextmanager
def _told(address: str, kind: type[DataError | ImageError]) -> Iterator[None]:
    """Turns the errors of fsspec and of its packages, of which every one has its own kinds, into one line."""
    try:
        yield
    except (DataError, ImageError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise kind(f"{printable(address)}: cannot be read ({reason}); check the address, and the keys in the environment") from error
