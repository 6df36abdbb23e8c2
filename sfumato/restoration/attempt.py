"""One picture of a run of many: whether it needs repair, the repair, and its entry in the manifest.

claim the place ─ repairing ─ Work, done together with that of others ─ write, if the place is unchanged ─> Entry
"""

import contextlib
import errno
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from sfumato.batch.manifest import Entry, Facts, Manifest, Status, digest
from sfumato.core import outputs
from sfumato.core.errors import ImageError, SfumatoError, StorageError
from sfumato.core.tensors import Maps
from sfumato.restoration.batch import Work
from sfumato.restoration.networks import Networks
from sfumato.restoration.repair import repairing
from sfumato.restoration.request import RestorationRequest


class Worked(NamedTuple):
    """The repaired picture, and the seconds of its work: its share of the time of a group."""

    images: Maps
    seconds: float


Attempt = Generator[Work, Worked, Entry]
"""The repair of one picture: yields its `Work` if there is any, is sent the result or thrown the error, and returns its entry."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The settings that all pictures of a run share."""

    request: RestorationRequest
    manifest: Manifest
    overwrite: bool
    networks: Networks


@dataclass(kw_only=True)
class _Picture:
    """One picture and its place, and what the manifest says of them."""

    path: Path
    target: Path
    run: Run
    began: float = field(default_factory=time.perf_counter)
    facts: Facts = field(default_factory=dict)
    """Digests of the picture, its mask and the request; empty until they have been read."""
    claimed: tuple[int, int, int] | None = None
    """State of the file at `target` when the work began."""
    output_digest: str = ""

    def entry(self, status: Status, message: str, *, nothing: bool = False) -> Entry:
        seconds = round(time.perf_counter() - self.began, 2)
        return Entry(source=str(self.path), out=str(self.target), status=status, message=message, nothing=nothing, seconds=seconds)

    def earlier(self) -> Entry | None:
        """The entry of an earlier run that makes this one unnecessary."""
        earlier = self.run.manifest.earlier(self.path, self.target, self.facts)
        return None if earlier is None or (self.run.overwrite and earlier.changed) else earlier

    def claim(self) -> None:
        """Remembers the file at `target`. Raises ImageError if this run may not replace it."""
        if self.target.is_dir():
            raise ImageError(f"{self.path}: {self.target} is a folder; choose another --out")
        self.claimed = outputs.state(self.target)
        if self.claimed and not self.run.overwrite and not self.run.manifest.is_own(self.path, self.target):
            raise ImageError(f"{self.target} is there already; choose another --out, or say --overwrite")

    def settle(self, result: Path) -> None:
        """Notes the finished file `result`, right before it takes its place. Raises ImageError if another file has come there."""
        if not self.run.overwrite and outputs.state(self.target) != self.claimed:
            raise ImageError(f"{self.target} has come to be there meanwhile; choose another --out, or say --overwrite")
        self.output_digest = digest(result)
        self.record(self.entry(Status.WRITING, ""))

    def record(self, entry: Entry) -> None:
        self.run.manifest.add(entry, self.path, self.target, self.facts, output_digest=self.output_digest)

    def failed(self, error: BaseException) -> Entry:
        """The entry for `error`. An error that the next picture would meet too is noted and raised again."""
        self.output_digest = ""
        entry = self.entry(Status.FAILED, _reason(self.path, error))
        if _ends_all(error):
            with contextlib.suppress(StorageError):
                self.record(entry)
            raise error
        return entry


def attempt(path: Path, target: Path, mask: Callable[[], Path | None], run: Run, pixels: float | None) -> Attempt:
    """Repairs one picture, unless an earlier run did. A file at `target` is replaced only if an earlier run wrote it, or with `overwrite`.

    `pixels` is the number of pixels, if known. An error is in the entry; an error that the next picture would meet too is raised, after
    it was noted in the manifest.
    """
    picture = _Picture(path=path, target=target, run=run)
    try:
        with contextlib.ExitStack() as opened:
            own, file = mask(), None
            with contextlib.suppress(OSError):  # the repair reports the error
                file = opened.enter_context(path.open("rb"))
            picture.facts = run.manifest.facts(file or path, own)
            if earlier := picture.earlier():
                return earlier
            picture.claim()
            steps = repairing(path, target, run.request, mask=own, check=picture.settle, networks=run.networks, pixels=pixels, file=file)
            try:
                work = next(steps)
                opened.close()  # many pictures wait for each other's work
                spent = time.perf_counter() - picture.began
                images, seconds = yield work
                picture.began = time.perf_counter() - spent - seconds
                steps.send(images)
                raise AssertionError("a repair ends after its work")
            except StopIteration as end:
                plan = end.value
        entry = picture.entry(Status.DONE, plan.summary, nothing=plan.nothing)
    except GeneratorExit:  # the run ended before this picture's work
        raise
    except BaseException as error:
        entry = picture.failed(error)
    picture.record(entry)
    return entry


def _reason(path: Path, error: BaseException) -> str:
    """The message of a picture that failed."""
    if isinstance(error, SfumatoError):
        return str(error)
    if _out_of_memory(error):
        return f"{path}: not enough memory; give less --memory"
    description = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{path}: {description}" if isinstance(error, Exception) else f"{path}: interrupted"


def _ends_all(error: BaseException) -> bool:
    """Whether the next picture would fail too, or a person stopped the run."""
    if isinstance(error, StorageError):
        return getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG
    return not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError)


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On the CPU torch raises a plain RuntimeError for that, which only its text tells from others."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))
