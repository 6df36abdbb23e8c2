"""One picture of a run of many: whether it needs repair, the repair, and its entry in the manifest.

claim the place ─ repairing ─ Work, done together with that of others ─ write, if the place is unchanged ─> Entry
"""

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sfumato.batch.manifest import Entry, Status
from sfumato.batch.place import Batch, Place
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
class Run(Batch):
    """The settings that all pictures of a run share."""

    request: RestorationRequest
    networks: Networks


def attempt(path: Path, target: Path, mask: Callable[[], Path | None], run: Run, pixels: float | None) -> Attempt:
    """Repairs one picture, unless an earlier run did. A file at `target` is replaced only if an earlier run wrote it, or with `overwrite`.

    `pixels` is the number of pixels, if known. An error is in the entry; an error that the next picture would meet too is raised, after
    it was noted in the manifest.
    """
    picture = Place(path=path, target=target, batch=run)
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
