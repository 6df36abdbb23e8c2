"""Compares a run with its budget of time, and changes its plan where the two disagree.

A look every hundredth of the budget measures the speed since the last few looks, reserves the time for the remaining samples and saves,
and forecasts the end. Where the forecast is far off, the length of the run changes (`Schedule`). After each step the time left is compared
with the longest recent step and with the end of the run: last samples, saving, and the objective's last work. The time of that end is
measured early, by a rehearsal where no earlier run has measured it, and grows with the time of the steps: a machine on which steps take
three times as long takes three times as long for samples too.
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
from sfumato.train.step_times import LEAST, StepTimes

Part = Literal["sample", "save", "finish"]

LEAVING = 0.01
"""Share of the budget that is kept for closing the files and ending the process."""
LATEST = 0.03
"""If the run would end later than the budget by more than this share of it, the last samples are left out."""
LAG = 0.025
"""Share of the budget that a step may lie back and still say how fast the machine is now."""
AT_MOST_LOST_S = 300.0
"""A run is saved at least so often, in seconds, and every fifth of its budget, however slow it is: `save_every` counts images."""
REHEARSED = 0.5
"""Share of the budget after which the end is not rehearsed any more."""
RECENT = 3
"""A part of the end is expected to take the longest of its last so many times."""
SHARE = 0.98
"""Share of the time left that is planned for. The rest is a reserve for a machine that becomes slower."""
LOOK = 0.01
"""Time between two looks, as a share of the budget."""
LOOKS = 5
"""The speed is that between the last so many looks; more than half of them must be there before it counts."""
LATE, EARLY, NOISE = 0.01, 0.06, 0.1
"""The plan changes if the forecast is later than the deadline by more than the share LATE of the budget, or earlier by more than EARLY,
and in either case by more than the share NOISE of the time left."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Times of the parts of a run, in seconds; 0 for a part that was not measured yet."""

    image: float = 0.0
    """Time of training on one image."""
    sample: float = 0.0
    """Time of a sheet of samples and of the figures that come with it."""
    save: float = 0.0
    """Time of writing model and state."""
    finish: float = 0.0
    """Time of the work of the objective at the end, such as fitting a mixture."""

    def each(self, settings: TrainSettings) -> float:
        """Seconds an image takes, with its part of the samples and of the saving on the way."""
        return self.image + self.sample / settings.sample_every + self.save / settings.save_every

    @property
    def end(self) -> float:
        """Seconds from the last step to the end of the run."""
        return self.sample + self.save + self.finish


class Deadline:
    """Compares the clock of a run with its budget. Without a budget no plan changes."""

    def __init__(self, settings: TrainSettings, costs: Costs, clock: Callable[[], float], *, cycle: int, sheet: float = 0.0) -> None:
        """`clock` gives the seconds of training until now; `cycle` is the number of steps in which every phase is due.

        `sheet` is a guess of the time of a sheet of samples, in units of the time of training on one image.
        """
        self.sheet = sheet
        self.budget = seconds(settings.budget) if settings.budget else math.inf
        self.settings, self.costs, self.clock, self.cycle = settings, costs, clock, cycle
        self.save_interval = min(AT_MOST_LOST_S, self.budget / 5)
        """Seconds after which a run is saved again."""
        self._looks: deque[tuple[float, int]] = deque(maxlen=LOOKS)
        self._measured = (0.0, 0)
        self._began, self._steps, self._paused, self._warm = clock(), 0, 0.0, False
        self._times, self._last_step = StepTimes(cycle=cycle, lag=LAG * self.budget), clock()
        self._taken: dict[Part, list[tuple[float, float]]] = {}
        """For each part of the end, how long it took the last times, and how long a typical step took then."""
        self._settling: dict[Part, int] = {}
        """For each part of the end that was measured a few steps ago, how many steps more say how fast the machine was."""
        self._planned_with = costs.image
        self._rehearsed = bool(costs.finish)

    @contextlib.contextmanager
    def timed(self, part: Part) -> Iterator[None]:
        """Measures the time of the code inside."""
        began = self.clock()
        yield
        took = self.clock() - began
        self._paused += took
        self._last_step += took
        self.costs = dataclasses.replace(self.costs, **{part: took})
        self._taken[part] = [*self._taken.get(part, []), (took, self._times.typical)][-RECENT:]
        self._rehearsed |= part == "finish"
        self._settling[part] = LEAST

    @contextlib.contextmanager
    def excluded(self) -> Iterator[None]:
        """Excludes the time of the code inside from the next step. It still counts for the speed of the run."""
        began = self.clock()
        yield
        self._last_step += self.clock() - began

    def step(self) -> None:
        """Records the end of a step."""
        now = self.clock()
        self._times.add(now - self._last_step)
        # A machine that became slower during a part of the end shows that in the steps after it.
        for part in self._settling:
            cost, typical = self._taken[part].pop()
            self._taken[part].append((cost, max(typical, self._times.typical)))
        self._settling = {part: steps - 1 for part, steps in self._settling.items() if steps > 1}
        self._steps, self._last_step = self._steps + 1, now

    @property
    def rehearses(self) -> bool:
        """Whether to rehearse the parts of the end now: no run has measured their times, and there is time for it."""
        return self._warm and not self._rehearsed and self.clock() < REHEARSED * self.budget < math.inf

    @property
    def affords_save(self) -> bool:
        """Whether there is time to save once more on the way; the run saves at its end in any case."""
        save, times = self._expected("save"), self._times
        return self.clock() + times.jump * save + times.longest + self.end <= self.budget

    @property
    def end(self) -> float:
        """Seconds from the last step to the end of the run, as fast as the machine is now."""
        return sum(map(self._expected, ("sample", "save", "finish")))

    @property
    def omits_samples(self) -> bool:
        """Whether the time that is left is too short for the last samples."""
        return self.clock() + self._times.jump * self.end > (1 + LATEST) * self.budget

    def look(self, images_seen: int, schedule: Schedule, world: World) -> Change | None:
        """The change of plan that is due after `images_seen` images, the same in all processes: that of the one which leads."""
        if math.isinf(self.budget) or not images_seen or images_seen >= schedule.images:
            return None
        images = int(world.agree(float(self._planned_images(images_seen, schedule) if world.leads else 0)))
        if not images or images == schedule.images:
            return None
        self._looks.clear()
        reason = "over" if images == images_seen else "slower" if images < schedule.images else "faster"
        return Change(images_seen=images_seen, images=images, before=schedule.images, seconds=round(self.clock(), 2), reason=reason)

    def measured(self) -> Costs:
        """The costs of this run, as far as they were measured, for the plan of the next."""
        spent, images = self._measured
        return dataclasses.replace(self.costs, image=spent / images) if images else self.costs

    def _due(self, images_seen: int) -> float:
        """Seconds that samples and saving take which are due after `images_seen` images: if the run ends there, they are its last."""
        settings, costs = self.settings, (self._expected("sample"), self._expected("save"))
        every = (settings.sample_every, settings.save_every)
        return sum(cost for n, cost in zip(every, costs, strict=True) if images_seen // n > (images_seen - settings.batch) // n)

    def _last_chance(self, due: float) -> bool:
        """Whether after one more step, if all is as slow as the last step was, saving and the objective's work would end too late.

        `due` are the seconds of samples and saving before that step.
        """
        must = due + self._expected("save") + self._expected("finish")
        return self.clock() + self._times.longest + self._times.jump * must > (1 + LATEST) * self.budget

    def _expected(self, part: Part) -> float:
        """Seconds that a part of the end takes now: the longest of its last times, each of them slower by as much as steps are since."""
        now, guess = self._times.typical, getattr(self.costs, part)
        if part == "sample" and not guess:
            guess = self.sheet * now / self.settings.batch
        measurements = self._taken.get(part) or [(guess, 0.0)]
        return max(took * max(1.0, now / then if then else 1.0) for took, then in measurements)

    def _planned_images(self, images_seen: int, schedule: Schedule) -> int:
        """The length that the run should have, in images; 0 to leave it as it is."""
        left, batch = (1 - LEAVING) * self.budget - self.clock() - self.end, self.settings.batch
        due = self._due(images_seen)
        # Only steps of this process end the run, and a run that was prolonged makes at least one.
        prolonged = (
            bool(schedule.changes) and schedule.changes[-1].reason == "prolonged" and schedule.changes[-1].images_seen == images_seen
        )
        if (left < due + self._times.longest or self._last_chance(due)) and not prolonged:
            return images_seen
        sure = self._measure() and 2 * len(self._looks) > LOOKS
        # Up to its last recorded change, a resumed run repeats the recorded plan.
        if schedule.changes and images_seen <= schedule.changes[-1].images_seen:
            return 0
        # Directly after a look, no step has been made since.
        step = (self.clock() - self._began - self._paused) / self._steps if self._steps else self._times.typical
        costs = self.costs if self._looks else dataclasses.replace(self.costs, image=step / batch)
        each = max(costs.each(self.settings), 1e-9)
        # The time of saves between the intervals of images, as far as the budget affords them.
        save = self._expected("save")
        left = max(0.0, left - save * max(0, int((left - save) / self.save_interval)))
        spare = left - (schedule.images - images_seen) * each
        late, early = spare < -max(LATE * self.budget, NOISE * left), spare > max(EARLY * self.budget, NOISE * left)
        # A plan that is far too short must not end before its speed is known.
        ending = schedule.images - images_seen <= 2 * self.cycle * batch
        if (sure and (late or early)) or (ending and early and each > 1e-9):
            return images_seen + max(1, int(SHARE * left / each / batch)) * batch
        return 0

    def _measure(self) -> bool:
        """Measures the speed if a look is due and every phase has been due since the last. Returns whether it did."""
        now = self.clock()
        if self._steps < self.cycle or now - self._began < LOOK * self.budget * self._warm:
            return False
        spent, images = now - self._began - self._paused, self._steps * self.settings.batch
        self._began, self._steps, self._paused = now, 0, 0.0
        # The first steps of a process are slower: they allocate memory and load kernels.
        if not self._warm:
            self._warm = True
            return False
        if not self._looks and not self._measured[1]:
            self._adapt(spent / images)
        self._looks.append((spent, images))
        self._measured = (self._measured[0] + spent, self._measured[1] + images)
        self.costs = dataclasses.replace(self.costs, image=sum(t for t, _ in self._looks) / sum(n for _, n in self._looks))
        return True

    def _adapt(self, image: float) -> None:
        """Takes the times of an earlier run or of the plan for measured, scaled to a machine where an image takes `image` seconds."""
        slower = max(1.0, image / self._planned_with) if self._planned_with else 1.0
        for part in ("sample", "save", "finish"):
            if cost := getattr(self.costs, part):
                self._taken.setdefault(part, [(slower * cost, self._times.typical)])
