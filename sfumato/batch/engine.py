"""The engine of every verb that maps files to files.

    sources ─ listed ─> items ─ units ─> this process, several, or actors of Ray ─> results, entries, manifest

| need | module |
|---|---|
| pictures of every kind of source, names of results | `sources.py`, `tar_shards.py`, `addresses.py` |
| results of earlier runs, and files that stay | `manifest.py` |
| the work of a verb, and the rules that all share | `task.py` |
| processes, shards and Ray | `workers.py`, `units.py`, `pool.py`, `on_ray.py` |

`task.py` shows a whole verb. The bytes of the results do not depend on the workers.
"""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sfumato.batch import on_ray, units
from sfumato.batch.items import Item
from sfumato.batch.manifest import Entry, Manifest, manifest_name
from sfumato.batch.pool import Pool
from sfumato.batch.task import Task
from sfumato.batch.workers import Workers
from sfumato.core import atomic_io
from sfumato.core.progress import Job, job

OnProgress = Callable[[Entry, int, int], None]
"""Called with the entry of an item, its number in the order in which items are done, and the count of items."""


@contextlib.contextmanager
def held(folder: Path, request: Mapping[str, object], workers: Workers, *, writes: bool = True) -> Iterator[Manifest]:
    """The manifest of a run into `folder`, which no other run may use meanwhile; other shards of the same run may.

    Without `writes`, a manifest without a file: nothing is read, written or held. Raises StorageError if another run works there.
    """
    if not writes:
        yield Manifest(None, request)
        return
    path = folder / manifest_name(workers.part)
    with atomic_io.alone(folder, part=None if workers.part is None else path):
        manifest = Manifest(path, request)
        units.recover(units.place(folder, path.name), manifest)
        yield manifest


def run_batch(
    task: Task, items: Sequence[Item], manifest: Manifest, *, workers: Workers, on_progress: OnProgress = lambda *_: None
) -> list[Entry]:
    """Works on all items, and returns their entries in order; what is wrong with one item is in its entry.

    `manifest` is that of `held`. Without a file of the manifest this process does the work alone. `on_progress` is called after each item.
    Raises StorageError if results cannot be written, ProcessError if the processes cannot work.
    """
    _sweep(items)
    entries: list[Entry] = []

    def note(entry: Entry) -> None:
        entries.append(entry)
        on_progress(entry, len(entries), len(items))

    if not items:
        return []
    if workers.alone or manifest.path is None or manifest.folder is None:
        with one_thread() if workers.exact else contextlib.nullcontext():
            task.work()(items, manifest, note)
        return entries
    return _shared(task, items, manifest, workers, on_progress)


def _sweep(items: Sequence[Item]) -> None:
    """Removes the half-written files that processes which were killed have left beside the results; what others write now stays."""
    for folder in {item.target.parent for item in items}:
        if folder.is_dir():
            atomic_io.sweep(folder, below=False)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes with one thread, if it is loaded."""
    torch = sys.modules.get("torch")
    before = 1 if torch is None else torch.get_num_threads()
    try:
        if torch is not None:
            torch.set_num_threads(1)
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def _shared(task: Task, items: Sequence[Item], manifest: Manifest, workers: Workers, on_progress: OnProgress) -> list[Entry]:
    """`run_batch` in other processes."""
    assert manifest.folder is not None
    assert manifest.path is not None
    entries: dict[Path, Entry] = {}
    with units.opened(units.place(manifest.folder, manifest.path.name), manifest) as folder, _counting(items) as work:
        count = units.size(len(items), workers.count)
        contents = {f"{number:06}": items[start : start + count] for number, start in enumerate(range(0, len(items), count))}
        for name, some in contents.items():
            units.write(folder / f"{name}{units.TODO}", some, manifest)
        note = functools.partial(_note, entries, work, len(items), time.monotonic(), on_progress)
        if workers.on:
            on_ray.run(task, folder, manifest, note, actors=workers.count, address=workers.on)
        else:
            Pool(task, folder, contents, manifest, note).run(workers.count)
    _sweep(items)
    return [entries[item.target] for item in items]


def _counting(items: Sequence[Item]) -> contextlib.AbstractContextManager[Job]:
    """The progress of work on the pictures of all items."""
    return job("pictures", [1.0] * sum(item.count for item in items))


def _note(entries: dict[Path, Entry], work: Job, count: int, began: float, on_progress: OnProgress, item: Item, entry: Entry) -> None:
    """Takes the entry of one item. An item may come twice if the process that did it was lost before it could say so."""
    if item.target in entries:
        return
    entries[item.target] = entry
    seconds = time.monotonic() - began
    work.note = f"{(work.number + item.count) / seconds:.3g} a second" if seconds > 1 else ""
    work.finish(item.count, count=item.count)
    on_progress(entry, len(entries), count)
