"""Pictures in files, repaired: one, many, a folder or a glob, each written beside nothing and over nothing, with a manifest.

    sources ─ gather ─> [file, name] ─ repair ─> out/name, and a line in out/manifest.jsonl

A run that was stopped goes on with the same command: what the manifest says is done, from the same bytes and with the same request,
is left alone. A picture that fails is named with the reason, and the rest goes on.
"""

import dataclasses
import glob
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.core import disk
from sfumato.core.errors import DataError, ImageError, SettingError, SfumatoError, StorageError
from sfumato.data import files
from sfumato.data.decode import SUFFIXES
from sfumato.jobs.remedy import Request
from sfumato.jobs.repair import repair

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one picture."""

    source: str
    out: str = ""
    status: str
    """`done`, `failed`, or `skipped` because it was done before."""
    words: str
    """What was found and done, or why it failed."""
    seconds: float = 0.0


def restore_pictures(
    sources: Sequence[str | Path],
    out: Path,
    request: Request,
    *,
    mask: Path | None = None,
    overwrite: bool = False,
    tell: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """Repairs every picture of `sources` into the folder `out`, or into the file `out` if it is one picture and `out` is a picture's name.

    `mask` is a picture of the same size, white where to fill in, or a folder of such under the pictures' names. `tell` is called
    after each with its entry, its number and how many there are. A file that is there already and was not made by an earlier run into
    the same folder stays, unless `overwrite`; an original stays in any case. Raises SettingError for a request that cannot be, DataError if
    there is no picture, StorageError if `out` cannot be written; whatever else is wrong with a picture is in its entry.
    """
    request.check()
    if not sources:
        raise SettingError("no picture was named; give files, folders or globs")
    found = _told_apart(list(gather(sources)))
    if not found:
        raise DataError(f"no picture in {', '.join(map(str, sources))}; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    alone = out.suffix.lower() in files.FORMATS
    if alone and len(found) > 1:
        raise SettingError(f"{out} is one picture and there are {len(found)} to repair; give a folder with --out")
    folder = out.parent if alone else out
    manifest = Manifest(None if alone else folder / MANIFEST, request, mask)
    entries = []
    for number, (path, name) in enumerate(found, 1):
        target = out if alone else folder / _writable(name)
        entry = manifest.earlier(path, target) or _attempt(path, target, request, mask, free=overwrite or manifest.mine(target))
        manifest.add(entry, path)
        tell(entry, number, len(found))
        entries.append(entry)
    return entries


def gather(sources: Sequence[str | Path]) -> Iterator[tuple[Path, Path]]:
    """Every picture file, and the name it will have below the output folder: its own, or its path below the folder that was given.

    Raises DataError for what is neither a file nor a folder nor a glob that matches anything.
    """
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES and not _hidden(p.relative_to(path)))
            yield from ((p, p.relative_to(path)) for p in inside if p.is_file())
        elif path.is_file():
            yield path, Path(path.name)
        else:
            matches = [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
            if not matches:
                raise DataError(f"no file or folder {str(source)!r}")
            yield from ((p, Path(p.name)) for p in matches if p.is_file() and p.suffix.lower() in SUFFIXES)


def _told_apart(found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """The same pictures, each once; if two would get one name, all get their path below the folder that they share."""
    places = {path.resolve(): (path, name) for path, name in found}
    if len({_writable(name) for _, name in places.values()}) == len(places):
        return list(places.values())
    shared = Path(os.path.commonpath([path.parent for path in places]))
    whole = [(path, place.relative_to(shared)) for place, (path, _) in places.items()]
    names = [_writable(name) for _, name in whole]
    if twice := {str(name) for name in names if names.count(name) > 1}:
        raise SettingError(f"{', '.join(sorted(twice))} would be written twice, as two formats become one; repair them one after another")
    return whole


class Manifest:
    """The lines of what was done, in a file that grows."""

    def __init__(self, path: Path | None, request: Request, mask: Path | None) -> None:
        self.path, self.asked = path, _plain({**dataclasses.asdict(request), "mask": mask})
        self._done: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                self._done[row["out"]] = row
            except (ValueError, KeyError, TypeError):  # a line that was cut short
                continue

    def earlier(self, path: Path, target: Path) -> Entry | None:
        """The entry of this picture if it was done before, from the same bytes and in the same way."""
        row = self._done.get(str(target))
        if row is None or row["status"] != "done" or row.get("asked") != self.asked or not target.exists():
            return None
        if row.get("sha256") != digest(path):
            return None
        return Entry(source=str(path), out=str(target), status="skipped", words="done before")

    def add(self, entry: Entry, path: Path) -> None:
        """One more line, unless nothing was done."""
        if self.path is None or entry.status == "skipped":
            return
        row = {**dataclasses.asdict(entry), "sha256": digest(path), "asked": self.asked}
        with disk.storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def mine(self, target: Path) -> bool:
        """Whether the file at `target` was made by an earlier run."""
        return str(target) in self._done


def digest(path: Path) -> str:
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _attempt(path: Path, target: Path, request: Request, mask: Path | None, *, free: bool) -> Entry:
    """One picture; a file at `target` may be replaced only if it is `free`."""
    began = time.perf_counter()
    try:
        if target.exists() and os.path.samefile(path, target):
            raise ImageError(f"{path}: would be written over itself; choose another --out")
        if target.exists() and not free:
            raise ImageError(f"{target} is there already; choose another --out, or say --overwrite")
        words = repair(path, target, request, mask=_mask_of(mask, path))
        return Entry(source=str(path), out=str(target), status="done", words=words, seconds=round(time.perf_counter() - began, 2))
    except StorageError:
        raise  # the next one would fail too
    except (SfumatoError, MemoryError) as error:
        return Entry(source=str(path), out=str(target), status="failed", words=str(error) or "not enough memory")


def _mask_of(mask: Path | None, path: Path) -> Path | None:
    if mask is None or not mask.is_dir():
        return mask
    mine = [p for p in sorted(mask.iterdir()) if p.stem == path.stem and p.suffix.lower() in SUFFIXES]
    if not mine:
        raise ImageError(f"{path}: {mask} holds no mask called {path.stem}")
    return mine[0]


def _writable(name: Path) -> Path:
    """The name itself if its format can be written, else as .png."""
    return name if name.suffix.lower() in files.FORMATS else name.with_suffix(".png")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _plain(tree: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON. Where it is computed does not matter."""
    kept = {name: value for name, value in tree.items() if name not in ("device", "memory", "tile")}
    return json.loads(json.dumps(kept, default=str))
