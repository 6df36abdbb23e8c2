"""Pictures in files, repaired: one, many, a folder or a glob, each written beside nothing and over nothing, with a manifest.

    sources ─ gather ─> [file, name] ─ repair ─> out/name, and a line in out/manifest.jsonl

A run that was stopped goes on with the same command: what the manifest says is done, from the same bytes and with the same request,
is left alone. A picture that fails is named with the reason, and the rest goes on.
"""

import contextlib
import errno
import functools
import glob
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from sfumato.core import disk, outputs
from sfumato.core.errors import DataError, ImageError, SettingError, SfumatoError, StorageError
from sfumato.data import files, kinds
from sfumato.data.kinds import Kind
from sfumato.jobs.manifest import DONE, NAME, Entry, Manifest, digest
from sfumato.jobs.remedy import Request
from sfumato.jobs.repair import repair


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

    `mask` is a picture of the same size, white where to fill in, or a folder of such under the pictures' names and folders. `tell` is
    called after each with its entry, its number and how many there are. A file that is there already and was not made by an earlier run
    into the same folder, or was changed since, stays, unless `overwrite`; an original, and a mask, stays in any case. Raises SettingError
    for a request that cannot be, DataError if there is no picture, StorageError if `out` cannot be written or another run is at work
    there; whatever else is wrong with a picture is in its entry.
    """
    request.check()
    if not sources:
        raise SettingError("no picture was named; give files, folders or globs")
    alone = out.suffix.lower() in files.FORMATS
    found = told_apart(gather(sources, leaving_out=None if alone else out))
    if not found:
        others = kinds.summary(passed_over(sources).values())
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")
    if alone and len(found) > 1:
        raise SettingError(f"{out} is one picture and there are {len(found)} to repair; give a folder with --out")
    if not alone and out.suffix.lower() in kinds.ENDINGS:
        raise SettingError(f"{out}: pictures are written as {', '.join(files.FORMATS)}; choose another --out")
    if alone:
        outputs.check(out)
    folder = out.parent if alone else out
    masks = [] if mask is None else [mask] if mask.is_file() else mask.rglob("*")
    originals = {path.resolve() for path, _ in found} | {path.resolve() for path in masks}
    # Where only originals lie nothing will be written, no manifest either.
    writes = not alone and any((folder / name).resolve() not in originals for _, name in found)
    entries = []
    # Two runs would take each other's names, and each go by a manifest that does not know of the other.
    with disk.alone(folder) if writes else contextlib.nullcontext():
        manifest = Manifest(folder / NAME if writes else None, request)
        for place in {(folder / name).parent for _, name in found}:
            disk.sweep(place, below=False)
        beside = [path for path, _ in found]
        for number, (path, name) in enumerate(found, 1):
            target, own = (out if alone else folder / name), functools.partial(_mask_of, mask, path, name.parent, beside)
            entry = _attempt(path, target, request, own, manifest, originals, overwrite=overwrite)
            tell(entry, number, len(found))
            entries.append(entry)
    return entries


def gather(sources: Sequence[str | Path], *, leaving_out: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Every picture file, and the name it will have below the output folder: its own, or its path below the folder that was given.

    What lies below the folder `leaving_out`, beside others, was written there by us. Raises DataError for what is neither a file nor a
    folder nor a glob that matches anything.
    """
    away = leaving_out.resolve() if leaving_out else None
    for source in sources:
        if not str(source):
            raise DataError("no picture was named, but nothing ('')")
        try:
            path = Path(source).expanduser()
            if path.is_dir():
                inside = (p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path)))
                pairs = [(p, p.relative_to(path)) for p in inside if kinds.readable(p)]
            elif path.is_file():
                yield path, Path(path.name)  # wherever it lies: it was named by hand
                continue
            else:
                matches = [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
                if not matches:
                    raise DataError(f"no file or folder {str(source)!r}")
                pairs = [(p, Path(p.name)) for p in matches if kinds.readable(p)]
        except (OSError, RuntimeError) as error:
            raise DataError(f"{str(source)[:200]!r} cannot be looked for ({error})") from error
        # If all that was named lies there, it was meant.
        kept = [pair for pair in pairs if away is None or not pair[0].resolve().is_relative_to(away)]
        yield from kept or pairs


def passed_over(sources: Sequence[str | Path]) -> dict[Path, Kind]:
    """Each picture, film and broken link in the folders and globs among `sources` that `gather` does not give, with its kind."""
    inside: list[Path] = []
    for source in sources:
        if (path := Path(source).expanduser()).is_dir():
            inside += [p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path))]
        elif not path.is_file():
            inside += [p for match in sorted(glob.glob(str(path), recursive=True)) if not (p := Path(match)).is_dir()]
    return {path: kind for path in inside if (kind := kinds.passed_over(path)) is not None}


def told_apart(found: Iterator[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Each picture once, with a name to be written under that no other has: if need be with its ending, its folder's name, or a number."""
    pictures = list({os.path.abspath(path): (path, name) for path, name in found}.values())
    names: dict[Path, Path] = {}
    # Those that can keep their name choose first.
    for path, name in sorted(pictures, key=lambda pair: pair[1] != _writable(*pair)):
        simple = _writable(path, name)
        choices = [simple, *([simple.with_name(f"{name.name}{simple.suffix}")] if name != simple else [])]
        choices.append(Path(path.absolute().parent.name) / simple)
        choices += [simple.with_stem(f"{simple.stem}-{i}") for i in range(2, len(pictures) + 2)]
        taken = set(names.values())
        names[path] = next(choice for choice in choices if choice not in taken)
    return [(path, names[path]) for path, _ in pictures]


def _attempt(
    path: Path,
    target: Path,
    request: Request,
    mask: Callable[[], Path | None],
    manifest: Manifest,
    originals: set[Path],
    *,
    overwrite: bool,
) -> Entry:
    """One picture, unless it was done before. A file at `target` is replaced only if it is of an earlier run, or to be overwritten."""
    began = time.perf_counter()

    def entry(status: str, words: str, *, nothing: bool = False) -> Entry:
        seconds = round(time.perf_counter() - began, 2)
        return Entry(source=str(path), out=str(target), status=status, words=words, nothing=nothing, seconds=seconds)

    def settled(result: Path) -> None:
        nonlocal made
        if not overwrite and _state(target) != before:
            raise ImageError(f"{target} has come to be there meanwhile; choose another --out, or say --overwrite")
        made = digest(result)
        manifest.add(entry("writing", ""), path, target, facts, made=made)

    facts, made = {}, ""
    try:
        own = mask()
        facts = manifest.facts(path, own)
        if (earlier := manifest.earlier(path, target, facts)) and (not overwrite or earlier.words == DONE):
            return earlier
        if target.resolve() in originals:
            raise ImageError(f"{path}: {target} is an original and would be written over; choose another --out")
        before = _state(target)
        if before and not overwrite and not manifest.mine(path, target):
            raise ImageError(f"{target} is there already; choose another --out, or say --overwrite")
        plan = repair(path, target, request, mask=own, check=settled)
        ended = entry("done", plan.words, nothing=plan.nothing)
    except BaseException as error:
        ended, made = entry("failed", _why(path, error)), ""
        if _ends_all(error):
            with contextlib.suppress(StorageError):
                manifest.add(ended, path, target, facts)
            raise
    manifest.add(ended, path, target, facts, made=made)
    return ended


def _why(path: Path, error: BaseException) -> str:
    """What is told of a picture that failed."""
    if isinstance(error, SfumatoError):
        return str(error)
    if _short(error):
        return f"{path}: not enough memory; give less --memory"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{path}: {what}" if isinstance(error, Exception) else f"{path}: interrupted"


def _ends_all(error: BaseException) -> bool:
    """Whether the next picture would fail too, or was not wanted any more."""
    if isinstance(error, StorageError):
        return getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG
    return not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError)


def _short(error: BaseException) -> bool:
    """Whether memory ran out; torch says so in words."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))


def _state(target: Path) -> tuple[int, int, int] | None:
    """What changes with the file at `target`; None if there is none."""
    if not target.exists():
        return None
    found = target.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _mask_of(mask: Path | None, path: Path, below: Path, pictures: Sequence[Path]) -> Path | None:
    """The mask of a picture: `mask` itself, or what has the picture's name in this folder.

    It is looked for in its folder `below` and in one called like the picture's own; in the folder itself only if no other of the
    `pictures`, from elsewhere, is called so. With its ending too, before or instead of the mask's own, is nearer than without. Raises
    ImageError for none, or several as near.
    """
    if mask is None or not mask.is_dir():
        return mask
    namesakes = [other for other in pictures if other.stem == path.stem]
    theirs = {other.name for other in namesakes} - {path.name}
    alone = all(other.parent == path.parent for other in namesakes)
    places = [mask / below, mask / path.absolute().parent.name]
    for folder in dict.fromkeys([*places, mask] if alone else places):
        drawn = sorted(p for p in folder.iterdir() if kinds.readable(p)) if folder.is_dir() else []
        drawn = [p for p in drawn if p.name not in theirs]
        for mine in ([p for p in drawn if path.name in (p.name, p.stem)], [p for p in drawn if p.stem == path.stem]):
            if len(mine) > 1:
                raise ImageError(f"{path}: {' and '.join(map(str, mine))} could both be its mask; name it like the picture, {path.name}")
            if mine:
                return mine[0]
    raise ImageError(f"{path}: {mask} holds no mask called {path.stem}")


def _writable(path: Path, name: Path) -> Path:
    """The name itself if its format can be written, else with the ending that suits the file at `path`."""
    return name if name.suffix.lower() in files.FORMATS else kinds.output_name(path, name)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
