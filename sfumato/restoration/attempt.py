"""One picture of a run of many: whether it is to be repaired, what becomes of it, and what the manifest says of it.

claim the place ─ repairing ─ Work, done together with others' ─ write, if the place is still ours ─> Entry
"""

import contextlib
import errno
import functools
import io
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from sfumato.batch.manifest import DONE, Entry, Facts, Manifest, digest
from sfumato.core import outputs
from sfumato.core.errors import ImageError, SfumatoError, StorageError
from sfumato.core.tensors import Maps
from sfumato.restoration.batch import Work
from sfumato.restoration.networks import Networks
from sfumato.restoration.repair import repairing
from sfumato.restoration.request import RestorationRequest


class Worked(NamedTuple):
    """What was made of a picture, and in how many seconds: of work for several at once, its share."""

    images: Maps
    seconds: float


Attempt = Generator[Work, Worked, Entry]
"""The repair of one picture: asks for its `Work` if there is any, is sent what was made of it, or the error, and ends with its entry."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all pictures of a run have in common."""

    request: RestorationRequest
    manifest: Manifest
    originals: frozenset[Path]
    """What must not be written over."""
    overwrite: bool
    networks: Networks


def attempt(path: Path, target: Path, mask: Callable[[], Path | None], run: Run, pixels: float | None) -> Attempt:
    """One picture, unless it was done before. A file at `target` is replaced only if it is of an earlier run, or to be overwritten.

    `pixels` is how many it has, if that is known. What goes wrong is in the entry. Only what would go wrong with the next picture too is
    raised, after it was noted.
    """
    began, made = time.perf_counter(), ""
    facts: Facts = {}
    file: io.BufferedReader | None = None

    def entry(status: str, message: str, *, nothing: bool = False) -> Entry:
        seconds = round(time.perf_counter() - began, 2)
        return Entry(source=str(path), out=str(target), status=status, message=message, nothing=nothing, seconds=seconds)

    def settled(result: Path) -> None:
        nonlocal made
        outputs.check_unchanged(target, before, overwrite=run.overwrite)
        made = digest(result)
        run.manifest.add(entry("writing", ""), path, target, facts, output_digest=made)

    opened = contextlib.ExitStack()
    try:
        own = mask()
        with contextlib.suppress(OSError):  # of which its repair will tell
            file = opened.enter_context(path.open("rb"))
        facts = run.manifest.facts(file or path, own)
        if (earlier := run.manifest.earlier(path, target, facts)) and (not run.overwrite or earlier.message == DONE):
            return earlier
        before = _claimed(path, target, run)
        steps = repairing(path, target, run.request, mask=own, check=settled, networks=run.networks, pixels=pixels, file=file)
        try:
            work = next(steps)
            opened.close()  # many wait for each other's work
            spent = time.perf_counter() - began
            images, seconds = yield work
            began = time.perf_counter() - spent - seconds
            steps.send(images)
            raise AssertionError("a repair ends after its work")
        except StopIteration as end:
            plan = end.value
        ended = entry("done", plan.summary, nothing=plan.nothing)
    except GeneratorExit:  # it was not come to
        raise
    except BaseException as error:
        ended, made = entry("failed", _why(path, error)), ""
        if _ends_all(error):
            with contextlib.suppress(StorageError):
                run.manifest.add(ended, path, target, facts)
            raise
    finally:
        opened.close()
    run.manifest.add(ended, path, target, facts, output_digest=made)
    return ended


def _claimed(path: Path, target: Path, run: Run) -> tuple[int, int, int] | None:
    """The `outputs.state` of the place to write to. Raises ImageError or SettingError if the file there must not be replaced."""
    if target.resolve() in run.originals:
        raise ImageError(f"{path}: {target} is an original and would be written over; choose another --out")
    if target.is_dir():
        raise ImageError(f"{path}: {target} is a folder; choose another --out")
    before = outputs.state(target)
    outputs.check_free(target, overwrite=run.overwrite, is_own=functools.partial(run.manifest.is_own, path))
    return before


def _why(path: Path, error: BaseException) -> str:
    """What is told of a picture that failed."""
    if isinstance(error, SfumatoError):
        return str(error)
    if _short(error):
        return f"{path}: not enough memory; give less --memory"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{path}: {what}" if isinstance(error, Exception) else f"{path}: interrupted"


def _ends_all(error: BaseException) -> bool:
    """Whether the next picture would fail too, or was not wanted any more."""
    if isinstance(error, StorageError):
        return getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG
    return not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError)


def _short(error: BaseException) -> bool:
    """Whether memory ran out; torch says so in words."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))
