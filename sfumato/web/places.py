"""Where files may lie: the chosen folders of the machine, and a private folder for each visitor."""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sfumato.core.errors import SettingError, StorageError
from sfumato.core.text import quoted
from sfumato.web.limits import PICTURES

_DEEPEST, _MOST = 3, 300
"""Depth and number of the folders that are offered."""
KEPT = 3 * 3600.0
"""Seconds for which files of a visitor are kept after the last request."""


class ChosenFolders:
    """The folders of the machine whose pictures may be used, with all folders below."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Raises SettingError for a root that is no folder."""
        for root in roots:
            if not root.is_dir():
                raise SettingError(f"{root} is no folder; give an existing folder with --folders")
        self._roots = [root.resolve() for root in roots]

    def names(self) -> list[str]:
        """The folders with pictures or with folders of pictures, at most 300, three levels deep."""
        names: list[str] = []
        for root in self._roots:
            for folder in _below(root, _DEEPEST):
                if len(names) < _MOST and _has_pictures(folder):
                    names.append(str(folder))
        return names

    def resolved(self, name: str) -> Path:
        """The folder called `name`. Raises SettingError if it lies outside of the chosen folders, or does not exist."""
        try:
            path = Path(name).expanduser().resolve()
            inside = any(path.is_relative_to(root) for root in self._roots)
        except (OSError, ValueError, RuntimeError) as error:
            raise SettingError(f"{quoted(name)} is no folder; choose one of the list") from error
        if not inside:
            raise SettingError(f"{quoted(name)} lies outside of the folders that this studio was started with; start it with --folders")
        if not path.is_dir():
            raise SettingError(f"{quoted(name)} is no folder; choose one of the list")
        return path


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """`folder` and the folders inside it, without hidden ones and links."""
    yield folder
    for inner in _entries(folder, folders=True) if depth else ():
        yield from _below(folder / inner, depth - 1)


def _has_pictures(folder: Path) -> bool:
    """Whether there is a picture in the folder, or in a folder inside it."""
    places = [folder, *(folder / name for name in _entries(folder, folders=True))]
    return any(name.lower().endswith(PICTURES) for place in places for name in _entries(place, folders=False))


def _entries(folder: Path, *, folders: bool) -> list[str]:
    """Names of the folders, or of the files, that lie in a folder; without hidden ones and links."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        kept = [each for each in entries if not each.name.startswith(".") and not each.is_symlink()]
        return sorted(each.name for each in kept if each.is_dir() == folders)
    return []


class Shelter:
    """The temporary folder of a studio. Each visitor has a folder in it, and uploads belong to who sent them.

    A visitor is named by the value of a cookie. The folder's name is a hash, so that an address tells nobody the cookie.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sfumato-studio-")) if root is None else root
        self.root.chmod(0o700)
        self._owners: dict[Path, set[str]] = {}
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def folder(self, visitor: str) -> Path:
        """The folder of a visitor, which is made if need be."""
        folder = self.root / self._name(visitor)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def job_folder(self, visitor: str) -> Path:
        """A new folder for the files of one job."""
        folder = self.folder(visitor) / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        return folder

    def add_upload(self, visitor: str, path: str | Path) -> None:
        """Notes that the file at `path` was sent by the visitor; an equal file may have been sent by several."""
        with self._lock:
            self._owners.setdefault(Path(path).resolve(), set()).add(visitor)

    def owns(self, visitor: str, path: str | Path) -> bool:
        """Whether the visitor may read the file at `path`."""
        try:
            place = Path(path).resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return place.is_relative_to(self.root.resolve() / self._name(visitor)) or visitor in self._owners.get(place, ())

    def bytes_of(self, visitor: str) -> int:
        """Bytes of the files that are kept for a visitor."""
        with self._lock:
            uploads = [path for path, owners in self._owners.items() if visitor in owners]
        return sum(_size(path) for path in [*uploads, *(self.root / self._name(visitor)).rglob("*")])

    def visit(self, visitor: str) -> None:
        """Notes a request of a visitor."""
        self._last[visitor] = time.monotonic()

    def sweep(self, *, kept: float = KEPT) -> None:
        """Removes the files of visitors without a request in the last `kept` seconds."""
        now = time.monotonic()
        for visitor in [each for each, last in list(self._last.items()) if now - last > kept]:
            del self._last[visitor]
            shutil.rmtree(self.root / self._name(visitor), ignore_errors=True)
            with self._lock:
                for path, owners in list(self._owners.items()):
                    owners.discard(visitor)
                    if not owners:
                        del self._owners[path]
                        shutil.rmtree(path.parent if path.parent.parent == self.root.resolve() else path, ignore_errors=True)

    def close(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _name(self, visitor: str) -> str:
        return "visitor-" + hashlib.sha256(visitor.encode()).hexdigest()[:32]


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def new_run_folder(runs: Path, name: str) -> Path:
    """The folder of a run called `name` below `runs`. Raises SettingError for a name that would lie elsewhere."""
    if not name or name in (".", "..") or any(sign in name for sign in '/\\\0:*?"<>|') or name.startswith(".") or len(name) > 100:
        raise SettingError(f"{quoted(name)} is no name of a run; use letters, digits, - and _")
    folder = runs / name
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StorageError(f"{folder} is not a folder; choose another name")
    return folder
