"""Downloads of files: resumed after an interruption, checked by SHA-256 before the file gets its name."""

import contextlib
import http
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sfumato.core.atomic_io import digest
from sfumato.core.errors import DownloadError, StorageError

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes received and the total, None if the server does not send one."""

_BLOCK = 1 << 18
_LATER = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)


class _BrokenError(Exception):
    """One attempt failed; `final` if another attempt at the same address would fail as well."""

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
    """`target`, downloaded from the first of `urls` that serves it completely; no download if it exists with this SHA-256.

    If `sha256` is empty, because none is published, a file of the length that the server states is taken, and an existing one is kept.
    Received bytes are kept in `target.part`, and the next attempt, address or call resumes from there. Each address gets `tries` attempts,
    with pauses of `pause` seconds, twice that, and so on; `timeout` seconds without data end an attempt. A lock lets one process download
    at a time. Raises DownloadError if no address serves the right content, StorageError if the file cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target.with_name(f".{target.name}.lock")):
            if not (target.is_file() and (not sha256 or digest(target) == sha256)):
                part = target.with_name(f"{target.name}.part")
                _fill(part, urls, sha256, tries=tries, timeout=timeout, pause=pause, progress=progress)
                os.replace(part, target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error}); free some space or set SFUMATO_CACHE") from error
    return target


def _fill(part: Path, urls: Sequence[str], sha256: str, *, tries: int, timeout: float, pause: float, progress: Progress | None) -> None:
    """Downloads the right content into `part`, from the first address that serves it."""
    problems = []
    for url in urls:
        reason = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                if not (sha256 and part.is_file() and digest(part) == sha256):  # killed between the last byte and the new name
                    _transfer(url, part, timeout, progress)
                    _check(part, sha256)
            except _BrokenError as broken:
                reason = str(broken)
                if broken.final:
                    break
            else:
                return
        problems.append(f"{url}: {reason}")
    kept = f"{part.stat().st_size} bytes are kept, run the command again to resume" if part.is_file() else "run the same command again"
    raise DownloadError(f"{part.stem} could not be downloaded ({'; '.join(problems)}); {kept}")


def _transfer(url: str, part: Path, timeout: float, progress: Progress | None) -> None:
    """Appends the missing bytes to `part`, or writes the whole file if the server sends everything."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sfumato"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _BrokenError("the partial file was longer than the file") from error
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
    """Yields the content in pieces. Errors of the network become `_BrokenError`; errors of the caller do not."""
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(f"broke off ({error or type(error).__name__})") from error
        if not block:
            return
        yield block


def _check(part: Path, sha256: str) -> None:
    if not sha256:
        return
    actual = digest(part)
    if actual != sha256:
        part.unlink()
        raise _BrokenError(f"wrong content, expected SHA-256 {sha256}, got {actual}", final=True)


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Waits until no other process is inside the `with`; does not wait on systems without file locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
