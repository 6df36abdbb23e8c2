"""What a verb tells the engine about its work, and the frame around the work on one file that verbs share.

A verb that maps each file to one file writes a `FileTask` and nothing else: a frozen dataclass of plain values, so that it can be sent to
other processes, with the method `open`, which loads the network and returns the function for one file.

    @dataclass(frozen=True, kw_only=True)
    class Compression(FileTask):
        model: str

        def open(self) -> Convert:
            codec = load(self.model)

            def convert(item: Item, path: Path, settle: Settle) -> str:
                content = codec.compress(files.read(path))
                atomic_io.write(item.target, content, check=functools.partial(settle, item.target))
                return f"{len(content)} bytes"

            return convert

    entries = run_batch(Compression(model=..., request=facts), items, folder=out, workers=workers)

The rules for originals, for files that are there already, for results of earlier runs, and for errors are then those of every verb.
"""

import contextlib
import dataclasses
import errno
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from sfumato.batch.items import Item, fetched
from sfumato.batch.manifest import Entry, Facts, Manifest, Status
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import ImageError, SfumatoError, StorageError
from sfumato.core.progress import counted

OnEntry = Callable[[Entry], None]
Work = Callable[[Sequence[Item], Manifest, OnEntry], None]
"""Works on items in order, and calls the last argument with the entry of each; the manifest gets a line for each."""
Settle = Callable[[Path, Path], None]
"""To be called with the place of a result and the finished file, right before the file takes the place."""
Convert = Callable[[Item, Path, Settle], str]
"""Makes the result of one item out of the file at a path, which is the item's source or a copy of it, and returns a message."""


@runtime_checkable
class Task(Protocol):
    """The work of a run, in plain values: it is sent to every process that takes part."""

    @property
    def request(self) -> Mapping[str, object]:
        """Everything beside the items that results depend on, as JSON values."""
        ...

    def work(self) -> Work:
        """The function that works, in the process that works; the network is loaded here."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileTask:
    """A task whose items are independent: `open` returns the function for one of them."""

    request: Mapping[str, object]
    overwrite: bool = False
    """Whether files are replaced that are neither results of earlier runs nor originals."""

    def open(self) -> Convert:
        """Loads what all items need, and returns the function for one item."""
        raise NotImplementedError

    def outputs(self, target: Path) -> Sequence[Path]:
        """The files that one item is written to, the result among them. Raises SettingError for a name that is not possible."""
        return [target]

    def work(self) -> Work:
        """The function that works on items one by one."""
        convert = self.open()

        def each(items: Sequence[Item], manifest: Manifest, on_entry: OnEntry) -> None:
            for item in counted(items, "pictures"):
                on_entry(_attempt(self, convert, item, manifest))

        return each


@contextlib.contextmanager
def copied(item: Item, manifest: Manifest) -> Iterator[Path]:
    """The path of the item's file, as `fetched` yields it; the manifest identifies a copy by the item's source."""
    with fetched(item.source) as path:
        if not item.is_file:
            manifest.address(path, item.source)
        yield path


def ends_run(error: BaseException) -> bool:
    """Whether the next picture would fail too: the disk is full or closed, or the GPU is lost."""
    if type(error).__name__ == "AcceleratorError":  # of torch, which is not imported for this
        return True
    return isinstance(error, StorageError) and getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG


def _attempt(task: FileTask, convert: Convert, item: Item, manifest: Manifest) -> Entry:
    """The entry of one item. Raises StorageError if the next item would meet the error too."""
    began, facts, path = time.perf_counter(), Facts(), Path(item.source)
    digests = dict[Path, str]()

    def entry(status: Status, message: str) -> Entry:
        seconds = round(time.perf_counter() - began, 2)
        return Entry(source=item.source, out=str(item.target), status=status, message=message, seconds=seconds)

    try:
        if item.problem:
            raise ImageError(item.problem)
        with copied(item, manifest) as path:
            facts = manifest.facts(path, item.companion)
            if (earlier := manifest.earlier(path, item.target, facts)) and not (task.overwrite and earlier.changed):
                return dataclasses.replace(earlier, source=item.source)
            for each in task.outputs(item.target):
                outputs.check_place(each)
                outputs.check_free(each, overwrite=task.overwrite, is_own=functools.partial(manifest.is_own, path))
            message = convert(item, path, functools.partial(_settle, entry(Status.WRITING, ""), path, facts, manifest, digests))
            done = entry(Status.DONE, message)
            manifest.add(done, path, item.target, facts, output_digest=digests.get(item.target) or atomic_io.digest(item.target))
            return done
    except Exception as error:
        if ends_run(error):
            raise
        failed = entry(Status.FAILED, named(error, path, item))
        manifest.add(failed, path, item.target, facts)
        return failed


def _settle(entry: Entry, path: Path, facts: Facts, manifest: Manifest, digests: dict[Path, str], target: Path, result: Path) -> None:
    """Notes a finished file right before it takes its place: after a kill, the next run recognises the file."""
    digests[target] = atomic_io.digest(result)
    manifest.add(entry, path, target, facts, output_digest=digests[target])


def failed(item: Item, error: Exception) -> Entry:
    """The entry of an item of which no copy could be made."""
    return Entry(source=item.source, out=str(item.target), status=Status.FAILED, message=named(error, Path(item.source), item))


def renamed(entry: Entry, path: Path, item: Item) -> Entry:
    """The entry for the copy at `path`, with the item's source in the place of the path."""
    return dataclasses.replace(entry, source=item.source, message=entry.message.replace(str(path), item.source))


def named(error: BaseException, path: Path, item: Item) -> str:
    """The message of an error, with the source of the item in the place of its copy."""
    text = str(error) if isinstance(error, SfumatoError) else f"{type(error).__name__}: {error}"
    text = " ".join(text.split()).replace(str(path), item.source)
    return text if item.source in text else f"{item.source}: {text}"
