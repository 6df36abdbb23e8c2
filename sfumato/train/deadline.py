"""Compares a run with its budget of time, and changes its plan where the two disagree.

A look every hundredth of the budget takes the speed of the last few looks, reserves the time of what is still to be sampled and saved,
and forecasts the end. Where the forecast is far off, the length of the run changes (`Schedule`). A run whose time is up ends at once.
"""

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sfumato.train.distributed import World
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import TrainSettings, seconds

SHARE = 0.98
"""Share of the time left that is planned for; the rest is for what slows a machine down meanwhile."""
LOOK = 0.01
"""Time between two looks, as a share of the budget."""
LOOKS = 5
"""The speed is that between the last so many looks; more than half of them must be there before it counts."""
LATE, EARLY, NOISE = 0.01, 0.06, 0.1
"""The plan changes if the forecast is later than the deadline by more than the share LATE of the budget, or earlier by more than EARLY,
and in either case by more than the share NOISE of the time left."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a run takes, in seconds; 0 for what nobody has measured yet."""

    image: float = 0.0
    """Training on one image."""
    sample: float = 0.0
    """A sheet of samples, and all that is measured with it."""
    save: float = 0.0
    """Writing model and state."""
    finish: float = 0.0
    """What the objective does once at the end."""

    def each(self, settings: TrainSettings) -> float:
        """Seconds an image takes, with its part of the samples and of the saving on the way."""
        return self.image + self.sample / settings.sample_every + self.save / settings.save_every

    @property
    def end(self) -> float:
        """Seconds from the last step to the end of the run."""
        return self.sample + self.save + self.finish


class Deadline:
    """The clock of a run beside its budget. Without a budget it lets every plan be."""

    def __init__(self, settings: TrainSettings, costs: Costs, clock: Callable[[], float], *, cycle: int) -> None:
        """`clock` says how many seconds of training are over, `cycle` after how many steps every phase has been due."""
        self.budget = seconds(settings.budget) if settings.budget else math.inf
        self.settings, self.costs, self.clock, self.cycle = settings, costs, clock, cycle
        self._looks: deque[tuple[float, int]] = deque(maxlen=LOOKS)
        self._measured = (0.0, 0)
        self._began, self._steps, self._paused, self._warm = clock(), 0, 0.0, False

    @contextlib.contextmanager
    def timed(self, what: Literal["sample", "save", "finish"]) -> Iterator[None]:
        """Notes how long it takes what is done inside."""
        began = self.clock()
        yield
        took = self.clock() - began
        self._paused += took
        self.costs = dataclasses.replace(self.costs, **{what: took})

    def step(self) -> None:
        """One more step was made."""
        self._steps += 1

    def look(self, seen: int, schedule: Schedule, world: World) -> Change | None:
        """The change of plan that is due after `seen` images, the same in all processes: that of the one which leads."""
        if math.isinf(self.budget) or not seen or seen >= schedule.images:
            return None
        images = int(world.agree(float(self._wanted(seen, schedule) if world.leads else 0)))
        if not images or images == schedule.images:
            return None
        self._looks.clear()
        reason = "over" if images == seen else "slower" if images < schedule.images else "faster"
        return Change(seen=seen, images=images, before=schedule.images, seconds=round(self.clock(), 2), reason=reason)

    def found(self) -> Costs:
        """What this run took, as far as it was measured, for the plan of the next."""
        spent, images = self._measured
        return dataclasses.replace(self.costs, image=spent / images) if images else self.costs

    def _wanted(self, seen: int, schedule: Schedule) -> int:
        """The length that the run should have, in images; 0 to leave it as it is."""
        left, batch = self.budget - self.clock() - self.costs.end, self.settings.batch
        # A step is as long as those since the last look; what the run before took does not end this one.
        step = (self.clock() - self._began - self._paused) / self._steps if self._steps else 0.0
        if left < step:
            return seen
        sure = self._measure() and 2 * len(self._looks) > LOOKS
        # Up to its last recorded change, a run that goes on repeats what was planned.
        if schedule.changes and seen <= schedule.changes[-1].seen:
            return 0
        costs = self.costs if self._looks else dataclasses.replace(self.costs, image=step / batch)
        each = max(costs.each(self.settings), 1e-9)
        spare = left - (schedule.images - seen) * each
        late, early = spare < -max(LATE * self.budget, NOISE * left), spare > max(EARLY * self.budget, NOISE * left)
        # A plan that was far too short must not end before its speed is sure.
        ending = schedule.images - seen <= 2 * self.cycle * batch
        if (sure and (late or early)) or (ending and early and each > 1e-9):
            return seen + max(1, int(SHARE * left / each / batch)) * batch
        return 0

    def _measure(self) -> bool:
        """Takes the speed, if it is time for a look and every phase has been due since the last; says whether it was."""
        now = self.clock()
        if self._steps < self.cycle or now - self._began < LOOK * self.budget * self._warm:
            return False
        spent, images = now - self._began - self._paused, self._steps * self.settings.batch
        self._began, self._steps, self._paused = now, 0, 0.0
        # The first steps of a process pay for memory and kernels that later ones find ready.
        if not self._warm:
            self._warm = True
            return False
        self._looks.append((spent, images))
        self._measured = (self._measured[0] + spent, self._measured[1] + images)
        self.costs = dataclasses.replace(self.costs, image=sum(t for t, _ in self._looks) / sum(n for _, n in self._looks))
        return True
