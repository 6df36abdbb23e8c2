"""Progress of long work and its remaining time, reported to a listener: a terminal, a log, or nobody.

    work ─ counted, job ─> Moment (share done, seconds left, words) ─> the listener of `heard`

Work may lie inside work: the tiles of a picture inside the pictures of a folder. The inner share then moves the outer one, by as much as
the part under way weighs, so that there is one share and one estimate for the whole.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How far the outermost work has come."""

    share: float
    """Of the whole work that is done, in [0, 1]."""
    seconds: float
    """Since it began."""
    text: str
    """What is done, outer work first, such as `pictures 3 of 10, tiles 2 of 16`."""
    once: float = 0.0
    """Of the seconds, those for what is done once, such as loading a network: they say nothing about the rest."""

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the speed so far; None as long as nothing is done."""
        return (self.seconds - self.once) * (1 - self.share) / self.share if self.share > 0 else None

    def __str__(self) -> str:
        """What is done, and the time left once there is an estimate worth something: after two seconds of the work itself."""
        sure = self.seconds_left is not None and self.seconds - self.once >= _SURE
        return f"{self.text}, {clock(self.seconds_left)} left" if sure and self.seconds_left is not None else self.text


_SURE = 2.0
_FIRST = 30.0
_STEP = 0.05

Listener = Callable[[Moment], None]
T = TypeVar("T")


class LogLines:
    """A listener that says some of the moments in lines: for logs, that should neither be silent for long nor be filled.

    The first after half a minute, so that short work says nothing; then one whenever another twentieth is done or twice the time has
    passed, but none sooner than half a minute after another. So there are at most 20, and one more for each doubling of the time.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._share, self._seconds = 0.0, 0.0

    def __call__(self, moment: Moment) -> None:
        """Says it, if it is time again."""
        if moment.seconds < self._seconds or moment.share < self._share:  # other work has begun
            self._share, self._seconds = 0.0, 0.0
        waited, far = moment.seconds - self._seconds, moment.share - self._share
        if waited >= _FIRST and moment.share < 1 and (far >= _STEP or moment.seconds >= 2 * self._seconds):
            self._share, self._seconds = moment.share, moment.seconds
            self._say(f"{moment.share:.0%}: {moment}")


class Job:
    """Work in parts, each of which weighs something: pixels, or one of whatever is counted. Made by `job`."""

    def __init__(self, label: str, weights: Sequence[float] = (), audience: "_Audience | None" = None) -> None:
        self.label, self.count, self.number = label, len(weights), 0
        self._total, self.done, self._under_way = float(sum(weights)), 0.0, 0.0
        self._audience = audience
        self.note = ""
        """Words about the work, such as its speed, which are shown behind the count."""

    @contextlib.contextmanager
    def under_way(self, weight: float = 1.0) -> Iterator[None]:
        """Inside, parts are under way that together weigh so much: work inside them counts for this."""
        self._under_way = weight
        try:
            yield
        finally:
            self._under_way = 0.0

    def finish(self, weight: float = 1.0, *, count: int = 1) -> None:
        """One part is done, or so many, which together weigh this much."""
        self.done, self.number = self.done + weight, self.number + count
        self._report()

    def advance(self, weight: float = 1.0) -> None:
        """The work of parts that together weigh so much is done, but they are not finished: `finish` each of them with a weight of 0."""
        self.done += weight

    def without(self, weight: float = 1.0) -> None:
        """One part takes no work: what the others take says nothing about it."""
        self._total, self.number = self._total - weight, self.number + 1
        self._report()

    def reach(self, done: int, count: int) -> None:
        """So many of so many parts of equal weight are done; `count` is 0 if nobody knows how many there are."""
        self.number, self.count, self.done, self._total = done, count, float(done), float(count)
        self._report()

    def share(self, inner: float) -> float:
        """Of the work that is done, if of the part under way the share `inner` is."""
        return min(1.0, (self.done + self._under_way * inner) / self._total) if self._total > 0 else 0.0

    def __str__(self) -> str:
        text = f"{self.label} {self.number} of {self.count}" if self.count else f"{self.label} {self.number}"
        return f"{text}, {self.note}" if self.note else text

    def _report(self) -> None:
        if self._audience is not None:
            self._audience.tell()


class _Audience:
    """Who listens, and the work under way, the outermost first."""

    def __init__(self, listener: Listener, remark: Callable[[str], None], now: Callable[[], float]) -> None:
        self.listener, self.remark, self.now = listener, remark, now
        self.jobs: list[Job] = []
        self.began, self.once = now(), 0.0

    def tell(self, *inner: Job) -> None:
        """Says how far the outermost work is, with work `inner` to all that is under way."""
        share, jobs = 0.0, [*self.jobs, *inner]
        for each in reversed(jobs):
            share = each.share(share)
        shown = [each for each in jobs if each.count != 1] or jobs
        self.listener(Moment(share=share, seconds=self.now() - self.began, text=", ".join(map(str, shown)), once=self.once))


_audience: ContextVar[_Audience | None] = ContextVar("audience", default=None)


@contextlib.contextmanager
def job(label: str, weights: Sequence[float] = ()) -> Iterator[Job]:
    """Work that is called `label`, inside whatever is under way; `weights` says how much each of its parts takes of the time."""
    audience = _audience.get()
    new = Job(label, weights, audience)
    if audience is None:
        yield new
        return
    if not audience.jobs:
        audience.began, audience.once = audience.now(), 0.0
    audience.jobs.append(new)
    try:
        yield new
    finally:
        if new in audience.jobs:  # and all that was left inside without an end
            del audience.jobs[audience.jobs.index(new) :]


def counted(items: Sequence[T], label: str) -> Iterator[T]:
    """The items one by one; after each, the listener gets the number of `label` that are done.

    >>> with heard(lambda moment: print(f"{moment.share:.0%}: {moment.text}")):
    ...     for i in counted([1, 2], "pictures"):
    ...         total = sum(counted([10, 20], "tiles"))
    25%: pictures 0 of 2, tiles 1 of 2
    50%: pictures 0 of 2, tiles 2 of 2
    50%: pictures 1 of 2
    75%: pictures 1 of 2, tiles 1 of 2
    100%: pictures 1 of 2, tiles 2 of 2
    100%: pictures 2 of 2
    """
    with job(label, [1.0] * len(items)) as work:
        for item in items:
            with work.under_way():
                yield item
            work.finish()


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Inside is what is done once for all parts of the work under way: estimates of the time left do not count it."""
    audience = _audience.get()
    if audience is None:
        yield
        return
    began, before = audience.now(), audience.once
    try:
        yield
    finally:
        audience.once = before + audience.now() - began  # what is done once inside of it is in there


def reached(label: str, done: int, count: int) -> None:
    """Tells whoever listens that of `label`, inside all that is under way, so many of so many are done."""
    audience = _audience.get()
    if audience is not None:
        inner = Job(label, [1.0] * count)
        inner.number, inner.done = done, float(done)
        audience.tell(inner)


def remark(text: str) -> None:
    """Tells whoever listens something worth knowing about the work ahead; if nobody does, it is a Python warning."""
    audience = _audience.get()
    if audience is not None:
        audience.remark(text)
    else:
        warnings.warn(text, stacklevel=3)


@contextlib.contextmanager
def heard(
    listener: Listener, *, remark: Callable[[str], None] = lambda _: None, now: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Inside, `listener` gets the progress of work, and `remark` the remarks on it; `now` counts seconds."""
    before = _audience.set(_Audience(listener, remark, now))
    try:
        yield
    finally:
        _audience.reset(before)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss.

    >>> clock(75), clock(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
