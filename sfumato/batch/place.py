"""One file of a batch and the place of its result: what the manifest says of both, and by which rule a file there is replaced.

earlier ─ claim ─ work ─ settle, right before the result takes its place ─ record
"""

import contextlib
import errno
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sfumato.batch.manifest import Entry, Facts, Manifest, Status, digest
from sfumato.core import outputs
from sfumato.core.errors import ImageError, SfumatoError, StorageError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What all files of a batch share."""

    manifest: Manifest
    originals: frozenset[Path]
    """Files that must not be replaced."""
    overwrite: bool


@dataclass(kw_only=True)
class Place:
    """One file and the place of its result."""

    path: Path
    target: Path
    batch: Batch
    began: float = field(default_factory=time.perf_counter)
    facts: Facts = field(default_factory=dict)
    """Digests of the file and of the request; empty until they have been read."""
    claimed: tuple[int, int, int] | None = None
    """State of the file at `target` when the work began."""
    output_digest: str = ""

    def entry(self, status: Status, message: str, *, nothing: bool = False) -> Entry:
        """The outcome, with the seconds since the work began."""
        seconds = round(time.perf_counter() - self.began, 2)
        return Entry(source=str(self.path), out=str(self.target), status=status, message=message, nothing=nothing, seconds=seconds)

    def earlier(self) -> Entry | None:
        """The entry of an earlier run that makes this one unnecessary."""
        earlier = self.batch.manifest.earlier(self.path, self.target, self.facts)
        return None if earlier is None or (self.batch.overwrite and earlier.changed) else earlier

    def claim(self) -> None:
        """Remembers the file at `target`. Raises ImageError if this run may not replace it."""
        if self.target.resolve() in self.batch.originals:
            raise ImageError(f"{self.path}: {self.target} is an original and would be written over; choose another --out")
        if self.target.is_dir():
            raise ImageError(f"{self.path}: {self.target} is a folder; choose another --out")
        self.claimed = outputs.state(self.target)
        if self.claimed and not self.batch.overwrite and not self.batch.manifest.is_own(self.path, self.target):
            raise ImageError(f"{self.target} is there already; choose another --out, or say --overwrite")

    def settle(self, result: Path) -> None:
        """Notes the finished file `result`, right before it takes its place. Raises ImageError if another file has come there."""
        if not self.batch.overwrite and outputs.state(self.target) != self.claimed:
            raise ImageError(f"{self.target} has come to be there meanwhile; choose another --out, or say --overwrite")
        self.output_digest = digest(result)
        self.record(self.entry(Status.WRITING, ""))

    def record(self, entry: Entry) -> None:
        """Adds the line of `entry` to the manifest."""
        self.batch.manifest.add(entry, self.path, self.target, self.facts, output_digest=self.output_digest)

    def failed(self, error: BaseException) -> Entry:
        """The entry for `error`. An error that the next file would meet too is noted and raised again."""
        self.output_digest = ""
        entry = self.entry(Status.FAILED, _reason(self.path, error))
        if _ends_all(error):
            with contextlib.suppress(StorageError):
                self.record(entry)
            raise error
        return entry


def _reason(path: Path, error: BaseException) -> str:
    """The message of a file that failed."""
    if isinstance(error, SfumatoError):
        return str(error)
    if _out_of_memory(error):
        return f"{path}: not enough memory; give less --memory"
    description = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{path}: {description}" if isinstance(error, Exception) else f"{path}: interrupted"


def _ends_all(error: BaseException) -> bool:
    """Whether the next file would fail too, or a person stopped the run."""
    if isinstance(error, StorageError):
        return getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG
    return not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError)


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On the CPU torch raises a plain RuntimeError for that, which only its text tells from others."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))
