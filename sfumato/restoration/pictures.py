"""Restoration of picture files: one file, many, a folder or a glob, with a manifest; no other file is replaced.

    sources ─ gather ─> [file, name] ─ attempt ─> out/name, and a line in out/manifest.jsonl
                                       └ Work of some, together

The same command continues a run that was stopped: pictures that are done by the manifest, from the same bytes and with the same request,
are skipped. A picture that fails has its reason in the manifest, and the run goes on.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item, is_remote, keep_originals
from sfumato.batch.manifest import Entry
from sfumato.batch.sources import listed, passed_over
from sfumato.batch.workers import Workers
from sfumato.core import outputs
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.io import files, formats, masks
from sfumato.io.as_files import Sources, as_files
from sfumato.io.headers import Headers
from sfumato.io.inputs import PictureInput
from sfumato.restoration import plan
from sfumato.restoration.holes import check_mask
from sfumato.restoration.networks import Networks
from sfumato.restoration.preview import previewing
from sfumato.restoration.report import reporting
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.restoration.task import RestorationTask


def _restore_files(
    sources: Sequence[str | Path],
    out: str | Path,
    request: RestorationRequest,
    *,
    mask: str | Path | None = None,
    overwrite: bool = False,
    workers: Workers | None = None,
    report: str | Path | None = None,
    preview: str | Path | None = None,
    on_progress: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """As `restore_pictures`, for files."""
    out = Path(out)
    request.check()
    check_mask(request, mask)
    request, mask = _by_alpha(request, None if mask is None else Path(mask))
    if not sources:
        raise SettingError("no picture was named; give files, folders or globs")
    workers = workers or Workers()
    workers.check()
    alone = outputs.is_file_name(out, files.FORMATS)
    headers = Headers()
    pictures = listed(sources, exclude=None if alone else out, headers=headers)
    if not pictures:
        raise _no_picture(sources)
    if alone:
        _check_alone(out, len(pictures))
    folder = out.parent if alone else out
    names = [(source, out if alone else folder / name, name.parent) for source, name in pictures if workers.has(name)]
    items, writes = keep_originals(_items(names, mask, [Path(source) for source, _ in pictures], headers), _mask_files(mask))
    facts, networks = request_facts(request), Networks(request.backend)
    if len(pictures) > 1:  # of one picture the error is one line anyway, after that of a result that may not be written
        plan.check(request, networks)
    # If every target is an original, nothing is written, and no manifest.
    originals = {Path(source).resolve() for source, _ in pictures if not is_remote(source)} | _mask_files(mask)
    reported = reporting(report, request, folder, reads=originals, overwrite=overwrite, on_progress=on_progress)
    previewed = previewing(preview, [Path(source) for source, _ in pictures], request, mask, reads=originals, overwrite=overwrite)
    with reported as notice, previewed, held(folder, facts, workers, writes=writes and not alone) as manifest:
        own = networks if workers.alone else None
        task = RestorationTask(settings=request, request=facts, overwrite=overwrite, together=not workers.exact, networks=own)
        return run_batch(task, items, manifest, workers=workers, on_progress=notice)


def _check_alone(out: Path, count: int) -> None:
    """Raises SettingError or StorageError if the one file `out` cannot take the results of `count` pictures."""
    if count > 1:
        raise SettingError(f"--out {out} is one picture, and there are {count} pictures to repair; name a folder instead")
    outputs.check(out)


def _no_picture(sources: Sequence[str | Path]) -> DataError:
    """The error for sources without a picture, which counts the files of other kinds."""
    others = formats.summary(passed_over(sources).values())
    return DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")


def _items(names: Sequence[tuple[str, Path, Path]], mask: Path | None, pictures: Sequence[Path], headers: Headers) -> list[Item]:
    """The items of pictures with their targets and their folders below the source, each with its mask out of `mask`."""
    by_stem = defaultdict[str, list[Path]](list)
    for path in pictures if mask is not None and mask.is_dir() else ():
        by_stem[path.stem].append(path)
    items = []
    for source, target, below in names:
        path, own_mask, problem = Path(source), None, ""
        try:
            own_mask = _mask_of(mask, path, below, by_stem[path.stem])
        except ImageError as error:
            problem = str(error)
        items.append(Item(source=source, target=target, companion=own_mask, problem=problem, pixels=headers.pixel_count(path)))
    return items


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
    of_namesakes = {other.name for other in namesakes} - {path.name}
    alone = all(other.parent == path.parent for other in namesakes)
    places = [mask / below, mask / path.absolute().parent.name]
    for folder in dict.fromkeys([*places, mask] if alone else places):
        candidates = sorted(p for p in folder.iterdir() if formats.readable(p)) if folder.is_dir() else []
        candidates = [p for p in candidates if p.name not in of_namesakes]
        for matches in ([p for p in candidates if path.name in (p.name, p.stem)], [p for p in candidates if p.stem == path.stem]):
            if len(matches) > 1:
                raise ImageError(f"{path}: {' and '.join(map(str, matches))} could both be its mask; name it like the picture, {path.name}")
            if matches:
                return matches[0]
    raise ImageError(f"{path}: {mask} holds no mask called {path.stem}")


@renamed_arguments(tell="on_progress")
def restore_pictures(
    sources: Sources,
    out: str | Path,
    request: RestorationRequest,
    *,
    mask: PictureInput | None = None,
    overwrite: bool = False,
    workers: Workers | None = None,
    report: str | Path | None = None,
    preview: str | Path | None = None,
    on_progress: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """Repairs every picture of `sources` into the folder `out`; or one picture into the file `out`, if `out` is the name of a picture.

    A source is a file, a folder, a glob, a list, a tar shard or an address, as `batch/sources.py` says, or a picture of any kind that
    `restore` takes; a picture that is no file is called `picture-1`, `picture-2`, ..., by its place. `mask` is a picture of the same size,
    of any kind, white where to fill in, or a folder of masks with the names and folders of the pictures; or "alpha", if there is no such
    file: then all pixels that are not opaque are filled in, and the results have no opacity.
    `workers` share the work, which by default this process does alone. `report` is the name of an HTML page that shows each picture before
    and after; `preview`, that of a picture of the damage that is found in one picture. `on_progress` is called after each picture with its
    entry, its number and the count of pictures. Without `overwrite`, a file is replaced only if an earlier run into the same folder made it
    and nobody changed it since; originals and masks are never replaced. Raises SettingError for an invalid request, DataError if there is
    no picture, StorageError if `out` or `report` cannot be written or another run writes there, ProcessError if the workers cannot work;
    all other errors are in the entry of their picture.
    """
    with as_files(sources) as paths, as_files([] if mask is None else mask, noun="mask") as mask_files:

        def named(entry: Entry) -> Entry:
            return dataclasses.replace(entry, source=paths.get(Path(entry.source), entry.source))

        def notice(entry: Entry, number: int, count: int) -> None:
            on_progress(named(entry), number, count)

        restore = functools.partial(_restore_files, list(paths), out, request, mask=next(iter(mask_files), None), overwrite=overwrite)
        return [named(entry) for entry in restore(workers=workers, report=report, preview=preview, on_progress=notice)]
