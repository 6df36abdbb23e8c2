"""One item of a batch and the files of its result: which results are reused, which files are replaced, and the item's entry.

    opened ─ earlier ─ claim ─ work ─ settle, right before each file takes its place ─> done or failed: an Entry, and a line in the manifest

Every verb of the batch engine follows these rules; `task.py` and `restoration/attempt.py` hold the work between them.
"""

import contextlib
import dataclasses
import errno
import functools
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.batch.items import Item, fetched
from sfumato.batch.manifest import Entry, Facts, Manifest, Status
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import ImageError, SfumatoError, StorageError


@dataclass(kw_only=True)
class Place:
    """An item and the files of its result."""

    item: Item
    manifest: Manifest
    overwrite: bool
    """Whether files are replaced that are neither results of earlier runs nor originals."""
    memory_advice: str = "make the picture smaller"
    """The end of the message for an item that needs more memory than there is."""
    path: Path = field(init=False)
    """The file of the item, or inside `opened` its copy."""
    began: float = field(default_factory=time.perf_counter)
    """Time of the clock when the work began."""
    _facts: Facts = field(default_factory=dict, init=False)
    """Content hashes of the file and the request; empty until the file has been read."""
    _states: dict[Path, tuple[int, int, int] | None] = field(default_factory=dict, init=False)
    """State of the file at each path of the result when the work began."""
    _digests: dict[Path, str] = field(default_factory=dict, init=False)
    """Content hashes of the files of the result."""

    def __post_init__(self) -> None:
        self.path = Path(self.item.source)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """Inside, `path` is a file with the content of the item. Raises ImageError if there is none, and for the problem of the item."""
        if self.item.problem:
            raise ImageError(self.item.problem)
        with fetched(self.item.source) as self.path:
            if not self.item.is_file:
                self.manifest.address(self.path, self.item.source)
            yield self.path

    def earlier(self, file: io.BufferedReader | None = None) -> Entry | None:
        """The entry of an earlier run that makes the work unnecessary; `file` is the open file at `path`, if the caller has opened it."""
        self._facts = self.manifest.facts(file or self.path, self.item.companion)
        earlier = self.manifest.earlier(self.path, self.item.target, self._facts)
        return None if earlier is None or (self.overwrite and earlier.changed) else self._for_item(earlier)

    def claim(self, paths: Sequence[Path] = ()) -> None:
        """Remembers which files are at the `paths` of the result, by default the target. Raises SettingError for one that has to stay."""
        for path in paths or [self.item.target]:
            outputs.check_place(path)
            outputs.check_free(path, overwrite=self.overwrite, is_own=functools.partial(self.manifest.is_own, self.path))
            self._states[path] = outputs.state(path)

    def settle(self, target: Path, result: Path) -> None:
        """Notes the finished file `result`, right before it takes its place `target`: after a kill, the next run recognises the file.

        Raises SettingError if another file has come to the place since `claim`.
        """
        if target in self._states:
            outputs.check_unchanged(target, self._states[target], overwrite=self.overwrite)
        self._digests[target] = atomic_io.digest(result)
        self._add(self._entry(Status.WRITING, ""), self._digests[target], target)

    def done(self, message: str, *, damage: str = "", nothing: bool = False) -> Entry:
        """The entry of an item whose result is in its place; `message` begins with the `damage`; `nothing` if it needed no change."""
        entry = dataclasses.replace(self._entry(Status.DONE, message), damage=damage, nothing=nothing)
        self._add(entry, self._digests.get(self.item.target) or atomic_io.digest(self.item.target))
        return self._for_item(entry)

    def failed(self, error: BaseException) -> Entry:
        """The entry for `error`. An error that the next item would meet too is noted and raised again."""
        entry, ends = self._entry(Status.FAILED, self._reason(error)), _ends_run(error)
        with contextlib.suppress(StorageError) if ends else contextlib.nullcontext():
            self._add(entry)
        if ends:
            raise error
        return self._for_item(entry)

    def _entry(self, status: Status, message: str) -> Entry:
        """The outcome, with the seconds since the work began."""
        seconds = round(time.perf_counter() - self.began, 2)
        return Entry(source=str(self.path), out=str(self.item.target), status=status, message=message, seconds=seconds)

    def _add(self, entry: Entry, output_digest: str = "", target: Path | None = None) -> None:
        self.manifest.add(entry, self.path, target or self.item.target, self._facts, output_digest=output_digest)

    def _for_item(self, entry: Entry) -> Entry:
        """The entry with the source of the item in the place of its copy."""
        if entry.source == self.item.source:
            return entry
        message = entry.message if self.item.is_file else entry.message.replace(str(self.path), self.item.source)
        return dataclasses.replace(entry, source=self.item.source, message=message)

    def _reason(self, error: BaseException) -> str:
        """Why an item failed, in one line that names the item."""
        if isinstance(error, SfumatoError):
            text = " ".join(str(error).split())
        elif not isinstance(error, Exception):
            text = "interrupted"
        elif _out_of_memory(error):
            text = f"not enough memory; {self.memory_advice}"
        else:
            text = " ".join(f"{type(error).__name__}: {error}".split())
        return text if str(self.path) in text or self.item.source in text else f"{self.path}: {text}"


def _ends_run(error: BaseException) -> bool:
    """Whether the next item would fail too (the disk is full or closed, the GPU is lost), or a person stopped the run."""
    if isinstance(error, StorageError):
        return getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG
    return not isinstance(error, Exception) or type(error).__name__ == "AcceleratorError"  # of torch, which is not imported for this


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On the CPU torch raises a plain RuntimeError for that, which only its text tells from others."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))
