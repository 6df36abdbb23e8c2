"""The durations of the last steps. Their typical value notices at once that the machine is slower, and ignores a single stall."""

import math
import statistics
from collections import deque

LEAST = 5
"""The window holds at least this many steps, and a whole number of cycles."""


class StepTimes:
    """A window over the last steps of a run."""

    def __init__(self, *, cycle: int, lag: float) -> None:
        """`cycle` is the number of steps after which every phase has been due; `lag` the seconds after which steps are too old to count."""
        self._steps: deque[float] = deque(maxlen=cycle * math.ceil(LEAST / cycle))
        self.lag = lag

    def add(self, seconds: float) -> None:
        """One more step."""
        self._steps.append(seconds)

    @property
    def longest(self) -> float:
        """Seconds of the longest step in the window; 0 before the first."""
        return max(self._steps, default=0.0)

    @property
    def jump(self) -> float:
        """The last step over the longest one before it in the window, at least 1: how much slower the machine may be from now on.

        >>> times = StepTimes(cycle=1, lag=60.0)
        >>> for seconds in (1.0, 2.0, 6.0):
        ...     times.add(seconds)
        >>> times.jump
        3.0
        """
        *before, last = self._steps or (0.0,)
        return max(1.0, last / max(before)) if any(before) else 1.0

    @property
    def typical(self) -> float:
        """The lower median, in seconds, of the last two steps and of those before them within `lag` seconds; 0 before the first step.

        >>> times = StepTimes(cycle=1, lag=60.0)
        >>> for seconds in (1.0, 1.0, 30.0, 1.0):
        ...     times.add(seconds)
        >>> times.typical
        1.0
        """
        recent: list[float] = []
        for seconds in reversed(self._steps):
            if len(recent) >= 2 and sum(recent) + seconds > self.lag:
                break
            recent.append(seconds)
        return statistics.median_low(recent) if recent else 0.0
