"""The work of a verb as the engine takes it, and the frame around the work on one file that verbs share.

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

The rules of `place.py` for originals, for files that are there already, for results of earlier runs, and for errors are then those of
every verb.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from sfumato.batch.items import Item
from sfumato.batch.manifest import Entry, Manifest
from sfumato.batch.place import Place
from sfumato.core.progress import job

OnEntry = Callable[[Entry], None]
Work = Callable[[Sequence[Item], Manifest, OnEntry], None]
"""Works on items in order, and calls the last argument with the entry of each; the manifest gets a line for each."""
Settle = Callable[[Path, Path], None]
"""To be called with the place of a result and the finished file, right before the file takes the place."""


class Outcome(NamedTuple):
    """What a result says of the item."""

    message: str
    """Line for people."""
    damage: str = ""
    """What is wrong with the item, though there is a result; the message begins with it."""


Convert = Callable[[Item, Path, Settle], str | Outcome]
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
    """As in `Place`."""

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
            with job("pictures", [1.0] * sum(item.count for item in items)) as work:
                for item in items:
                    with work.under_way(item.count):
                        on_entry(_attempt(self, convert, item, manifest))
                    work.finish(item.count, count=item.count)

        return each


def _attempt(task: FileTask, convert: Convert, item: Item, manifest: Manifest) -> Entry:
    """The entry of one item. Raises StorageError if the next item would meet the error too."""
    place = Place(item=item, manifest=manifest, overwrite=task.overwrite)
    try:
        with place.opened() as path:
            if earlier := place.earlier():
                return earlier
            place.claim(task.outputs(item.target))
            outcome = convert(item, path, place.settle)
            message, damage = (outcome, "") if isinstance(outcome, str) else outcome
            return place.done(message, damage=damage)
    except BaseException as error:
        return place.failed(error)
