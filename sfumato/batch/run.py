"""Many files, one after the other, each with its line in the manifest; the same call again goes on where the last one stopped."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sfumato.batch.manifest import NAME, Entry, Facts, Manifest, Status
from sfumato.batch.place import Batch, Place
from sfumato.core import atomic_io, outputs
from sfumato.core.progress import counted

Work = Callable[[Path, Path, atomic_io.Check], str]
"""Makes the result of a file at a place, calling the check right before it takes that place; returns what the entry says."""


def run_batch(
    files: Sequence[tuple[Path, Path]],
    work: Work,
    *,
    manifest: Path | None,
    request: Facts,
    overwrite: bool,
    on_progress: Callable[[Entry, int, int], None] = lambda *_: None,
) -> list[Entry]:
    """Does the `work` of each of `files`, given as paths of the file and of its result, and returns their entries.

    `manifest` is the folder of the results, None for a single file without a manifest. `request` holds everything beside the files that
    results depend on, as JSON values. Errors are in the entries of their files; one that the next file would meet too is raised. Raises
    StorageError if another run writes into the folder.
    """
    originals = frozenset(path.resolve() for path, _ in files)
    # Two runs at once would take each other's names, each with a manifest that lacks the lines of the other.
    with contextlib.nullcontext() if manifest is None else atomic_io.alone(manifest):
        record = Manifest(None if manifest is None else manifest / NAME, request)
        batch, entries = Batch(manifest=record, originals=originals, overwrite=overwrite), list[Entry]()
        for folder in {target.parent for _, target in files} if manifest is not None else ():
            atomic_io.sweep(folder, below=False)
        for path, target in counted(files, "files"):
            entries.append(_done(Place(path=path, target=target, batch=batch), work))
            on_progress(entries[-1], len(entries), len(files))
        return entries


def _done(place: Place, work: Work) -> Entry:
    """The entry of one file after its work, unless an earlier run has done it."""
    try:
        place.facts = place.batch.manifest.facts(place.path, None)
        if earlier := place.earlier():
            return earlier
        outputs.check(place.target)
        place.claim()
        entry = place.entry(Status.DONE, work(place.path, place.target, place.settle))
    except BaseException as error:
        entry = place.failed(error)
    place.record(entry)
    return entry
