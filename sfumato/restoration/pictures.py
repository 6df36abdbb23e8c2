"""Pictures in files, repaired: one, many, a folder or a glob, each written beside nothing and over nothing, with a manifest.

    sources ─ gather ─> [file, name] ─ attempt ─> out/name, and a line in out/manifest.jsonl
                                       └ Work of some, together

A run that was stopped goes on with the same command: what the manifest says is done, from the same bytes and with the same request,
is left alone. A picture that fails is named with the reason, and the rest goes on.
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
from sfumato.restoration.queue import Queue, Waiting
from sfumato.restoration.request import RestorationRequest, request_facts


@renamed_arguments(tell="on_progress")
def restore_pictures(
    sources: Sequence[str | Path],
    out: Path,
    request: RestorationRequest,
    *,
    mask: Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """Repairs every picture of `sources` into the folder `out`, or into the file `out` if it is one picture and `out` is a picture's name.

    `mask` is a picture of the same size, white where to fill in, or a folder of such under the pictures' names and folders; or "alpha",
    where there is no such file: then all that is not opaque is filled in. `on_progress`
    is called after each with its entry, its number and how many there are. A file that is there already and was not made by an earlier run
    into the same folder, or was changed since, stays, unless `overwrite`; an original, and a mask, stays in any case. Raises SettingError
    for a request that cannot be, DataError if there is no picture, StorageError if `out` cannot be written or another run is at work there;
    whatever else is wrong with a picture is in its entry.
    """
    request.check()
    check_mask(request, mask)
    if masks.is_alpha(mask):
        request, mask = dataclasses.replace(request, alpha_mask=True), None
    if not sources:
        raise SettingError("no picture was named; give files, folders or globs")
    alone = outputs.is_file_name(out, files.FORMATS)
    headers = Headers()
    found = unique_names(gather(sources, leaving_out=None if alone else out, headers=headers), headers=headers)
    if not found:
        others = formats.summary(passed_over(sources).values())
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")
    if alone and len(found) > 1:
        raise SettingError(f"{out} is one picture and there are {len(found)} to repair; give a folder with --out")
    if alone:
        outputs.check(out)
    folder = out.parent if alone else out
    drawn = [] if mask is None else [mask] if mask.is_file() else mask.rglob("*")
    originals = frozenset({path.resolve() for path, _ in found} | {path.resolve() for path in drawn})
    # Where only originals lie nothing will be written, no manifest either.
    writes = not alone and any((folder / name).resolve() not in originals for _, name in found)
    # Two runs would take each other's names, and each go by a manifest that does not know of the other.
    with atomic_io.alone(folder) if writes else contextlib.nullcontext():
        manifest = Manifest(folder / NAME if writes else None, request_facts(request))
        run = Run(request=request, manifest=manifest, originals=originals, overwrite=overwrite, networks=Networks())
        for place in {(folder / name).parent for _, name in found}:
            atomic_io.sweep(place, below=False)
        beside = [path for path, _ in found]
        waiting = []
        for path, name in found:
            own = functools.partial(_mask_of, mask, path, name.parent, beside)
            pixels, target = headers.pixels(path), out if alone else folder / name
            waiting.append(Waiting(pixels, functools.partial(attempt, path, target, own, run, pixels)))
        return Queue(run, on_progress).repaired(waiting)


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
        drawn = sorted(p for p in folder.iterdir() if formats.readable(p)) if folder.is_dir() else []
        drawn = [p for p in drawn if p.name not in theirs]
        for mine in ([p for p in drawn if path.name in (p.name, p.stem)], [p for p in drawn if p.stem == path.stem]):
            if len(mine) > 1:
                raise ImageError(f"{path}: {' and '.join(map(str, mine))} could both be its mask; name it like the picture, {path.name}")
            if mine:
                return mine[0]
    raise ImageError(f"{path}: {mask} holds no mask called {path.stem}")
