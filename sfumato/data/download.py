"""Fetching a file whole, or not at all: resumed after a break, checked before it gets its name."""

import contextlib
import hashlib
import http
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sfumato.core.errors import DownloadError, StorageError

Progress = Callable[[int, int | None], None]
"""Called with how many bytes are here and how many there will be, None if the server did not say."""

_BLOCK = 1 << 18
_LATER = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)


class _BrokenError(Exception):
    """One try failed; `final` if another at the same address would fail alike."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str,
    tries: int = 3,
    timeout: float = 30.0,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """`target`, fetched from the first of `urls` that serves it whole; nothing is fetched if it is there with this SHA-256.

    What arrives is kept in `target.part`, and the next try, address or call goes on from there. Each address gets `tries` tries,
    `pause` seconds apart, then twice that, and so on; a silence of `timeout` seconds ends a try. Processes take turns.
    Raises DownloadError if no address serves the right content, StorageError if the disk refuses the file.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target.with_name(f".{target.name}.lock")):
            if not (target.is_file() and checksum(target) == sha256):
                part = target.with_name(f"{target.name}.part")
                _fill(part, urls, sha256, tries=tries, timeout=timeout, pause=pause, progress=progress)
                os.replace(part, target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error}); free some space or set SFUMATO_CACHE") from error
    return target


def checksum(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(part: Path, urls: Sequence[str], sha256: str, *, tries: int, timeout: float, pause: float, progress: Progress | None) -> None:
    """Fills `part` with the right content, from whichever address has it."""
    problems = []
    for url in urls:
        reason = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                if not (part.is_file() and checksum(part) == sha256):  # killed between the last byte and the new name
                    _transfer(url, part, timeout, progress)
                    _check(part, sha256)
            except _BrokenError as broken:
                reason = str(broken)
                if broken.final:
                    break
            else:
                return
        problems.append(f"{url}: {reason}")
    kept = f"{part.stat().st_size} bytes are kept, the same command goes on from there" if part.is_file() else "run the same command again"
    raise DownloadError(f"{part.stem} could not be fetched ({'; '.join(problems)}); {kept}")


def _transfer(url: str, part: Path, timeout: float, progress: Progress | None) -> None:
    """Appends to `part` what is missing, or writes it anew if the server sends everything."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sfumato"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _BrokenError("what was kept is longer than the file") from error
        raise _BrokenError(f"{error.code} {error.reason}", final=error.code < 500 and error.code not in _LATER) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(getattr(error, "reason", "") or error or type(error).__name__)) from error
    with answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if resumed else 0
        total = have + answer.length if answer.length is not None else None
        with part.open("ab" if resumed else "wb") as file:
            for block in _blocks(answer):
                file.write(block)
                have += len(block)
                if progress:
                    progress(have, total)
    if total is not None and have < total:
        raise _BrokenError(f"broke off after {have} of {total} bytes")


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The content in pieces; only errors of the network become `_BrokenError`, not those of whoever writes the pieces."""
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(f"broke off ({error or type(error).__name__})") from error
        if not block:
            return
        yield block


def _check(part: Path, sha256: str) -> None:
    actual = checksum(part)
    if actual != sha256:
        part.unlink()
        raise _BrokenError(f"wrong content, expected SHA-256 {sha256}, got {actual}", final=True)


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Waits until no other process is inside; on systems without file locks it does not wait."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
