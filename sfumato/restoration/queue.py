"""Many pictures, one after another, of which small ones wait for each other: those of one size go through the network together.

Waiting ─ start ─> Work ... Work ─ groups ─ together ─ send ─> Entry, told in the order of the pictures
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
"""Bytes that pictures which wait for each other may take."""
_AT_LEAST = 4096
"""Pixels whose repair takes as long as the reading and writing of a file."""

Tell = Callable[[Entry, int, int], None]
"""Is called with what became of a picture, its number and how many there are."""


class Waiting(NamedTuple):
    """A picture whose turn has not come."""

    pixels: float | None
    """How many it has; None for what cannot be read, of which its turn will tell."""
    begin: Callable[[], Attempt]


@dataclass(kw_only=True)
class _Started:
    """A picture whose turn has come: it has an entry, or work that is still to be done."""

    attempt: Attempt
    weight: float
    held: float
    work: Work | None = None
    result: Worked | Exception | None = None
    counted: bool = False
    """Whether its work is counted as done."""
    entry: Entry | None = None


class Queue:
    """The pictures of one run."""

    def __init__(self, run: Run, on_progress: Tell) -> None:
        self.run, self._tell = run, on_progress
        self._started: list[_Started] = []
        self._entries: list[Entry] = []
        self._count, self._job = 0, Job("pictures")

    def repaired(self, waiting: Sequence[Waiting]) -> list[Entry]:
        """Repairs them all, and returns what became of each, in their order."""
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
        """Whether another picture may come that can be repaired together with those that were started."""
        if started.work is None:
            return any(other.work is not None for other in self._started)
        h, w = started.work.images.shape[2:]
        return started.work.plan.network is not None and 2 * h * w <= TOGETHER

    def _settle(self) -> None:
        """Does the work of all that were started; results are written in their order, each as soon as all before it are."""
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
            # It may be the fault of one of them, or of all at once.
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
        """Writes what is ready, up to the first picture that is not."""
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
        """Goes on with a picture, to its work or to its end."""
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
    return (pixels or 0) + _AT_LEAST
