"""The progress of a run, by a plan that may change on the way.

A plan is a number of images. Progress goes from 0 to 1 and is a function of the images seen and of the recorded changes alone, so
that a run that goes on replays it exactly. Where the machine turns out slower or faster than planned, progress goes on from where it
is, along a straight line to 1 at the new end: no step size jumps. A run that a person prolongs goes on as a run of the new length
does after as many images.
"""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Literal, TypedDict

from sfumato.core import schema
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.schema import Finite, Whole

Reason = Literal["slower", "faster", "over", "prolonged"]
SENTENCES = {
    "slower": "the machine is slower than planned: {images:,} images instead of {before:,}",
    "faster": "the machine is faster than planned: {images:,} images instead of {before:,}",
    "over": "the budget is used up: the run ends after {images:,} images instead of {before:,}",
    "prolonged": "prolonged at {images_seen:,} of {before:,} images: it goes on to {images:,}",
}

_KEYS = {"images_seen": "seen"}
"""Names of fields of a change that the file of a plan calls otherwise."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of plan."""

    images_seen: int
    """Images seen when the plan changed."""
    images: int
    """Length of the run from then on, in images."""
    before: int
    """Length of the run until then."""
    seconds: float
    """Time that training had taken by then."""
    reason: Reason

    def __str__(self) -> str:
        return SENTENCES[self.reason].format(**dataclasses.asdict(self))


@dataclass(frozen=True)
class Schedule:
    """The plan that a run began with, and the changes of it in the order of the images seen."""

    first: int
    """Length of the run as planned at its start, in images."""
    changes: tuple[Change, ...] = ()

    @property
    def images(self) -> int:
        """Length of the run as planned now, in images."""
        return self.changes[-1].images if self.changes else self.first

    def progress(self, images_seen: int) -> float:
        """The share of the run, in [0, 1], that is over after `images_seen` images.

        >>> Schedule(100).progress(25)
        0.25
        """
        start, done, end = 0, 0.0, self.first
        for change in self.changes:
            if change.images_seen > images_seen:
                break
            done = change.images_seen / change.images if change.reason == "prolonged" else _between(change.images_seen, start, done, end)
            start, end = change.images_seen, change.images
        return _between(images_seen, start, done, end)

    def restart(self, images_seen: int) -> int:
        """Images after which the step size last began to rise from zero: 0, or where the run was prolonged."""
        return max((c.images_seen for c in self.changes if c.reason == "prolonged" and c.images_seen <= images_seen), default=0)

    def changed(self, change: Change) -> "Schedule":
        """The schedule with one more change; changes that were to come after it are forgotten."""
        return Schedule(self.first, (*(c for c in self.changes if c.images_seen <= change.images_seen), change))

    def dump(self) -> JsonObject:
        """The schedule as JSON; `Schedule.parse(schedule.dump()) == schedule`."""
        changes: list[Json] = [
            {_KEYS.get(name, name): value for name, value in dataclasses.asdict(change).items()} for change in self.changes
        ]
        return {"images": self.first, "changes": changes}

    @staticmethod
    def parse(tree: object) -> "Schedule":
        """The schedule that `dump` wrote. Raises ValueError for anything else."""
        record = schema.checked(tree, _Record, "no record of a plan")
        changes = tuple(map(_change, record["changes"]))
        ordered = all(a.images_seen <= b.images_seen for a, b in itertools.pairwise(changes))
        if not (record["images"] and ordered and all(c.images_seen <= c.images for c in changes)):
            raise ValueError("no record of a plan that a run can have had")
        return Schedule(record["images"], changes)


def _between(images_seen: int, start: int, share: float, end: int) -> float:
    """Progress on the straight line from `share` at `start` to 1 at `end`."""
    return min(1.0, share + (1 - share) * (images_seen - start) / (end - start)) if end > start else 1.0


class _Entry(TypedDict):
    """A change in the file of a plan."""

    seen: Whole
    images: Whole
    before: Whole
    seconds: Finite
    reason: Reason


class _Record(TypedDict):
    """The file of a plan."""

    images: Whole
    changes: list[_Entry]


def _change(entry: _Entry) -> Change:
    return Change(
        images_seen=entry["seen"], images=entry["images"], before=entry["before"], seconds=entry["seconds"], reason=entry["reason"]
    )
