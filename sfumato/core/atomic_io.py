"""Files that are there whole or not at all, whatever happens while they are written, and one clear error if the disk refuses."""

import contextlib
import errno
import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from sfumato.core.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows, where a file in use cannot be removed anyway
    fcntl = None

LEFTOVER = ".*.sfumato-part"
"""What a file is called, hidden beside its place, until it is whole."""

Check = Callable[[Path], None]
"""Called with a finished file right before it takes its place; what it raises keeps it from doing so."""
Listener = Callable[[Path, Path], None]
"""Called with a finished file and the path that it is about to take; what it raises keeps it from doing so."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def write(path: Path, content: bytes | str, *, check: Check | None = None) -> None:
    """Gives the file this content (text as UTF-8), whole or not at all, after `check`; makes its folder if there is none.

    Raises StorageError if the disk is full, read-only or not ours; what was there before is then still there.
    """
    with whole(path, check=check) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def whole(path: Path, *, check: Check | None = None) -> Iterator[Path]:
    """The place to write to instead of `path`; what was written there becomes `path` at the end, if nothing, nor `check`, goes wrong.

    Raises StorageError as `write` does.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial(path) as place:
            yield place
            with place.open("rb") as file:
                os.fsync(file.fileno())
            if check is not None:
                check(place)
            if (listener := _listener.get()) is not None:
                listener(place, path)
            os.replace(place, path)


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, `listener` is called with every file that `write` and `whole` have finished, before it takes its place."""
    outer = _listener.get()

    def both(finished: Path, path: Path) -> None:
        if outer is not None:
            outer(finished, path)
        listener(finished, path)

    before = _listener.set(both)
    try:
        yield
    finally:
        _listener.reset(before)


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file, which is made if there is none; a last line that was cut short does not swallow it.

    Raises StorageError as `write` does.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
                file.write(b"\n")
            file.write(line.encode() + b"\n")


def sha256(file: io.BufferedReader | io.BytesIO) -> str:
    """SHA-256 of an open file from its beginning, in hexadecimal. Raises OSError."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def digest(source: Path | io.BufferedReader) -> str:
    """SHA-256 of a file, or of an open one from its beginning, in hexadecimal; empty if it cannot be read."""
    try:
        with source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file:
            return sha256(file)
    except OSError:
        return ""


@contextlib.contextmanager
def partial(path: Path) -> Iterator[Path]:
    """A hidden file beside `path`, empty, that is gone afterwards unless it was moved; locked, so that `sweep` knows that it is in use.

    Write into this very file: what is renamed over it has no lock. Raises StorageError as `write` does.
    """
    # A name may be as long as names can be, and then nothing can be added to it.
    place = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.sfumato-part")
    with contextlib.ExitStack() as held:
        held.callback(_removed, place)
        with storing(path):
            place.touch()
            if fcntl is not None:
                file = held.enter_context(place.open("r+b"))
                with contextlib.suppress(OSError):  # some network disks have no locks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield place


def _removed(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.unlink(missing_ok=True)


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what a full or closed disk says inside into one StorageError that names `path`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space and run the same command again" if full else "choose another place"
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


@contextlib.contextmanager
def alone(folder: Path, *, part: Path | None = None) -> Iterator[None]:
    """Holds `folder`, made if there is none, against other processes that ask the same; the system lets go of it when this one ends.

    With `part`, a file that is made if there is none, `folder` is shared with processes that hold other parts of it. Raises StorageError if
    another has it, or if it cannot be made. On Windows and on disks without locks it holds nothing.
    """
    created = not folder.exists()
    with storing(folder), contextlib.ExitStack() as held:
        folder.mkdir(parents=True, exist_ok=True)
        if created:
            held.callback(_given_up, folder)
        if fcntl is not None:
            _lock(held, folder, shared=part is not None)
            if part is not None:
                part.touch()
                held.callback(_given_up_part, part)
                _lock(held, part, shared=False)
        kept = held.pop_all()
    with kept:
        yield


def _lock(held: contextlib.ExitStack, place: Path, *, shared: bool) -> None:
    """Locks a file or a folder until `held` ends. Raises StorageError if another process has a lock that excludes this one."""
    assert fcntl is not None
    descriptor = os.open(place, os.O_RDONLY)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(f"{place}: another process is at work there; wait for it, or choose another place") from error
    except OSError:  # some network disks have no locks
        pass


def _given_up_part(part: Path) -> None:
    """Removes a part that nothing was written to."""
    with contextlib.suppress(OSError):
        if part.stat().st_size == 0:
            part.unlink()


def _given_up(folder: Path) -> None:
    """Removes a folder that nothing was put in."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def sweep(folder: Path, *, below: bool = True) -> None:
    """Removes what killed writers left half-written in `folder`, and `below` it; what somebody is writing stays."""
    with storing(folder):
        for leftover in folder.rglob(LEFTOVER) if below else folder.glob(LEFTOVER):
            if not _in_use(leftover):
                _removed(leftover)


def _in_use(place: Path) -> bool:
    if fcntl is None:
        return False
    try:
        with place.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # locked, somebody else's, or on a disk that knows no locks
        return True
    return False
