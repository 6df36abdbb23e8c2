"""Restoration of picture files: one file, many, a folder or a glob, with a manifest; no other file is replaced.

    sources ─ gather ─> [file, name] ─ attempt ─> out/name, and a line in out/manifest.jsonl
                                       └ Work of some, together

The same command continues a run that was stopped: pictures that are done by the manifest, from the same bytes and with the same request,
are skipped. A picture that fails has its reason in the manifest, and the run goes on.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from sfumato.batch.manifest import NAME, Entry, Manifest
from sfumato.batch.sources import gather, passed_over, unique_names
from sfumato.core import atomic_io, outputs
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.io import files, formats, masks
from sfumato.io.headers import Headers
from sfumato.restoration.attempt import Run, attempt
from sfumato.restoration.holes import check_mask
from sfumato.restoration.networks import Networks
from sfumato.restoration.preview import previewing
from sfumato.restoration.queue import Queue, Waiting
from sfumato.restoration.report import reporting
from sfumato.restoration.request import RestorationRequest, request_facts


@renamed_arguments(tell="on_progress")
def restore_pictures(
    sources: Sequence[str | Path],
    out: str | Path,
    request: RestorationRequest,
    *,
    mask: str | Path | None = None,
    overwrite: bool = False,
    report: str | Path | None = None,
    preview: str | Path | None = None,
    on_progress: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """Repairs every picture of `sources` into the folder `out`; or one picture into the file `out`, if `out` is the name of a picture.

    `mask` is a picture of the same size, white where to fill in, or a folder of masks with the names and folders of the pictures; or
    "alpha", if there is no such file: then all pixels that are not opaque are filled in, and the results have no opacity.
    `report` is the name of an HTML page that shows each picture before and after; `preview`, that of a picture of the damage that is found
    in one picture. `on_progress` is called after each picture with its
    entry, its number and the count of pictures. Without `overwrite`, a file is replaced only if an earlier run into the same folder made
    it and nobody changed it since; originals and masks are never replaced. Raises SettingError for an invalid request, DataError if there
    is no picture, StorageError if `out` or `report` cannot be written or another run writes there; all other errors are in the entry of
    their picture.
    """
    out = Path(out)
    request.check()
    check_mask(request, mask)
    request, mask = _by_alpha(request, None if mask is None else Path(mask))
    if not sources:
        raise SettingError("no picture was named; give files, folders or globs")
    alone = outputs.is_file_name(out, files.FORMATS)
    headers = Headers()
    pictures = unique_names(gather(sources, exclude=None if alone else out, headers=headers), headers=headers)
    if not pictures:
        raise _no_picture(sources)
    if alone:
        _check_alone(out, len(pictures))
    folder = out.parent if alone else out
    originals = frozenset({path.resolve() for path, _ in pictures} | _mask_files(mask))
    # If every target is an original, nothing is written, and no manifest.
    writes = not alone and any((folder / name).resolve() not in originals for _, name in pictures)
    reported = reporting(report, request, folder, reads=originals, overwrite=overwrite, on_progress=on_progress)
    previewed = previewing(preview, [path for path, _ in pictures], request, mask, reads=originals, overwrite=overwrite)
    # Two runs at once would take each other's names, each with a manifest that lacks the lines of the other.
    with reported as tell, previewed, atomic_io.alone(folder) if writes else contextlib.nullcontext():
        manifest = Manifest(folder / NAME if writes else None, request_facts(request))
        run = Run(request=request, manifest=manifest, originals=originals, overwrite=overwrite, networks=Networks())
        for place in {(folder / name).parent for _, name in pictures}:
            atomic_io.sweep(place, below=False)
        targets = [out if alone else folder / name for _, name in pictures]
        return Queue(run, tell).repaired(_waiting(pictures, targets, mask, run, headers))


def _waiting(
    pictures: Sequence[tuple[Path, Path]], targets: Sequence[Path], mask: Path | None, run: Run, headers: Headers
) -> list[Waiting]:
    """The repair of each picture into its target, not begun."""
    beside, waiting = [path for path, _ in pictures], []
    for (path, name), target in zip(pictures, targets, strict=True):
        own, pixels = functools.partial(_mask_of, mask, path, name.parent, beside), headers.pixel_count(path)
        waiting.append(Waiting(pixels, functools.partial(attempt, path, target, own, run, pixels)))
    return waiting


def _check_alone(out: Path, count: int) -> None:
    """Raises SettingError or StorageError if the one file `out` cannot take the results of `count` pictures."""
    if count > 1:
        raise SettingError(f"{out} is one picture and there are {count} to repair; give a folder with --out")
    outputs.check(out)


def _no_picture(sources: Sequence[str | Path]) -> DataError:
    """The error for sources without a picture, which counts the files of other kinds."""
    others = formats.summary(passed_over(sources).values())
    return DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")


def _by_alpha(request: RestorationRequest, mask: Path | None) -> tuple[RestorationRequest, Path | None]:
    """The request for the opacity as the mask, and no mask file, if `mask` is the word alpha; else both unchanged."""
    return (dataclasses.replace(request, alpha_mask=True), None) if masks.is_alpha(mask) else (request, mask)


def _mask_files(mask: Path | None) -> set[Path]:
    """The file `mask`, or all files in the folder `mask`, with resolved paths."""
    return set() if mask is None else {path.resolve() for path in ([mask] if mask.is_file() else mask.rglob("*"))}


def _mask_of(mask: Path | None, path: Path, below: Path, pictures: Sequence[Path]) -> Path | None:
    """The mask of a picture: the file `mask`, or the file with the picture's name in the folder `mask`.

    The folder `below` inside `mask` is searched, then a folder with the name of the picture's own; `mask` itself only if no other of the
    `pictures` from another folder has the same name. A name with the ending of the picture, before or instead of the mask's own, comes
    before a name without. Raises ImageError for no mask, and for several that match equally.
    """
    if mask is None or not mask.is_dir():
        return mask
    namesakes = [other for other in pictures if other.stem == path.stem]
    theirs = {other.name for other in namesakes} - {path.name}
    alone = all(other.parent == path.parent for other in namesakes)
    places = [mask / below, mask / path.absolute().parent.name]
    for folder in dict.fromkeys([*places, mask] if alone else places):
        drawn = sorted(p for p in folder.iterdir() if formats.readable(p)) if folder.is_dir() else []
        drawn = [p for p in drawn if p.name not in theirs]
        for mine in ([p for p in drawn if path.name in (p.name, p.stem)], [p for p in drawn if p.stem == path.stem]):
            if len(mine) > 1:
                raise ImageError(f"{path}: {' and '.join(map(str, mine))} could both be its mask; name it like the picture, {path.name}")
            if mine:
                return mine[0]
    raise ImageError(f"{path}: {mask} holds no mask called {path.stem}")
