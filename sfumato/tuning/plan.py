"""How a budget of time is divided: a search by successive halving, then a comparison of the winner with the default.

    budget ─ 55 % search: many trials of r seconds, a third of them prolonged to 3r, a third of those to 9r
           ─ 40 % comparison: five fresh seeds, each with the default and with the winner, 9r seconds a run
           ─  5 % reserve

The resource of a trial is time and not steps, so that a setting that makes steps slow has to be worth it (ASHA, Li et al. 2020,
https://arxiv.org/abs/1810.05934).
"""

from collections import deque
from dataclasses import dataclass
from typing import final

from sfumato.core.errors import SettingError

FACTOR = 3
"""One trial in so many is prolonged, to so many times its length."""
RUNGS = 3
"""Largest number of lengths of a trial."""
SEARCH, COMPARISON = 0.55, 0.4
"""Shares of the budget."""
SEEDS = 5
"""Fresh seeds of the comparison."""
SHORTEST_S = 3.0
"""No trial is shorter than this, in seconds: to prepare a run takes time as well."""
RECENT = 5
"""A run is expected to need as much time besides its training as the longest of so many before it."""
LEAST_S = 90.0
"""Smallest budget, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The division of a budget."""

    budget: float
    """Seconds of the whole."""
    lengths: tuple[float, ...]
    """Seconds of a trial at each rung, ascending; the last is the length of a whole run."""

    @property
    def search_end(self) -> float:
        """Seconds after which no trial of the search runs."""
        return SEARCH * self.budget

    @property
    def comparison_end(self) -> float:
        """Seconds after which no run of the comparison runs."""
        return (SEARCH + COMPARISON) * self.budget

    @property
    def whole(self) -> float:
        """Seconds of a whole run."""
        return self.lengths[-1]


@final
class Overhead:
    """How much longer runs take than they are given for their training: for their start, and to measure them."""

    def __init__(self) -> None:
        self._recent = deque[float](maxlen=RECENT)

    def add(self, seconds: float) -> None:
        """Records the additional time of a run."""
        self._recent.append(max(0.0, seconds))

    @property
    def expected(self) -> float:
        """Seconds that the next run is expected to take besides its training; 0 before the first."""
        return max(self._recent, default=0.0)


def divided(budget: float) -> Plan:
    """The plan of a budget in seconds. Raises SettingError if it is too short for a search.

    >>> divided(7200).lengths
    (32.0, 96.0, 288.0)
    """
    if budget < LEAST_S:
        raise SettingError(f"budget = {budget:g} s is too short for a search; give {LEAST_S:g} s or more")
    whole = COMPARISON * budget / (2 * SEEDS)
    lengths = [whole / FACTOR**rung for rung in reversed(range(RUNGS))]
    return Plan(budget=budget, lengths=tuple(length for length in lengths if length >= SHORTEST_S))
