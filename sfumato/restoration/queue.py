"""Many pictures in order, of which small ones of one size go through the network in one batch.

Waiting ─ start ─> Work ... Work ─ groups ─ together ─ send ─> Entry, reported in the order of the pictures
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sfumato.batch.manifest import Entry, Status
from sfumato.core.progress import Job, job
from sfumato.restoration.attempt import Attempt, Run, Worked
from sfumato.restoration.batch import TOGETHER, Work, groups, run_together
from sfumato.restoration.memory import BASE
from sfumato.restoration.repair import held

_AHEAD = 1.3e8
"""Most bytes of pictures that wait for a common batch."""
_AT_LEAST = 4096
"""Pixels whose repair takes as long as reading and writing a file."""

Tell = Callable[[Entry, int, int], None]
"""Is called with the entry of a picture, its number and the count of pictures."""


class Waiting(NamedTuple):
    """A picture that is not started."""

    pixels: float | None
    """Number of pixels; None for a file that cannot be read, which fails when it is started."""
    begin: Callable[[], Attempt]


@dataclass(kw_only=True)
class _Started:
    """A picture that is started: it has an entry, or work to do."""

    attempt: Attempt
    weight: float
    held: float
    work: Work | None = None
    result: Worked | Exception | None = None
    counted: bool = False
    """Whether the progress counts its work as done."""
    entry: Entry | None = None


class Queue:
    """The pictures of one run."""

    def __init__(self, run: Run, on_progress: Tell, *, together: bool = True) -> None:
        """With `together` off, every picture goes through the network alone."""
        self.run, self._tell, self._together = run, on_progress, together
        self._started: list[_Started] = []
        self._entries: list[Entry] = []
        self._count, self._job = 0, Job("pictures")

    def repaired(self, waiting: Sequence[Waiting]) -> list[Entry]:
        """Repairs all pictures, and returns their entries in order."""
        self._count = len(waiting)
        most = min(_AHEAD, self.run.request.memory - BASE)
        with job("pictures", [_weight(each.pixels) for each in waiting]) as self._job:
            for each in waiting:
                need = held(each.pixels or 0, self.run.request)
                if sum(other.held for other in self._started) + need > most:
                    self._settle()
                started = _Started(attempt=each.begin(), weight=_weight(each.pixels), held=need)
                self._started.append(started)
                with self._job.under_way(started.weight):
                    self._step(started, partial(next, started.attempt))
                if not self._waits(started):
                    self._settle()
            self._settle()
        return self._entries

    def _waits(self, started: _Started) -> bool:
        """Whether a later picture may share a batch with the pictures that are started."""
        if not self._together:
            return False
        if started.work is None:
            return any(other.work is not None for other in self._started)
        h, w = started.work.images.shape[2:]
        return started.work.plan.network is not None and 2 * h * w <= TOGETHER

    def _settle(self) -> None:
        """Does the work of all pictures that are started; writes each result as soon as all before it are written."""
        todo = [(each, each.work) for each in self._started if each.work is not None]
        for group in groups([work for _, work in todo], self.run.networks):
            members = [todo[i] for i in group]
            with self._job.under_way(sum(each.weight for each, _ in members)):
                self._do(members)
            self._finish()
        self._finish()

    def _do(self, members: list[tuple[_Started, Work]]) -> None:
        began = time.perf_counter()
        try:
            outputs = run_together([work for _, work in members], self.run.networks)
        except Exception as error:
            if len(members) == 1:
                members[0][0].result = error
                return
            # One picture may be the cause, or the size of the batch.
            for each in members:
                self._do([each])
            return
        except BaseException as error:
            members[0][0].attempt.throw(error)
            raise
        share = (time.perf_counter() - began) / len(members)
        for (each, _), images in zip(members, outputs, strict=True):
            each.result, each.counted = Worked(images, share), True
        self._job.advance(sum(each.weight for each, _ in members))

    def _finish(self) -> None:
        """Writes results in order, up to the first picture without one."""
        while self._started and (self._started[0].entry is not None or self._started[0].result is not None):
            first, result = self._started[0], self._started[0].result
            if isinstance(result, Exception):
                self._step(first, partial(first.attempt.throw, result))
            elif result is not None:
                self._step(first, partial(first.attempt.send, result))
            assert first.entry is not None
            del self._started[0]
            self._entries.append(first.entry)
            self._tell(first.entry, len(self._entries), self._count)

    def _step(self, started: _Started, advance: Callable[[], Work]) -> None:
        """Advances a picture to its work or to its entry."""
        try:
            started.work = advance()
        except StopIteration as end:
            entry: Entry = end.value
            started.entry, started.work, started.result = entry, None, None
            if started.counted:
                self._job.finish(0.0)
            elif entry.status is Status.DONE and not entry.nothing:
                self._job.finish(started.weight)
            else:
                self._job.without(started.weight)


def _weight(pixels: float | None) -> float:
    """The share of a picture in the progress, in pixels."""
    return (pixels or 0) + _AT_LEAST
