"""The winner of a search against the default, over fresh seeds: each seed trains with both, for the same time."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from sfumato.core import atomic_io, schema
from sfumato.metrics.interval import LEVEL, student_t
from sfumato.tuning.goal import Goal
from sfumato.tuning.plan import SEEDS, SHORTEST_S, Overhead, Plan
from sfumato.tuning.space import Value
from sfumato.tuning.trials import Runner

FILE = "comparison.json"
"""The file of the figures of finished seeds."""
Outcome = Literal["winner", "default", "as good", "not compared"]


class Pair(TypedDict):
    """The figures of one seed; null for a run that failed."""

    seed: int
    default: float | None
    winner: float | None
    seconds: float


class _File(TypedDict):
    """The file of a comparison. Values of settings are JSON text."""

    winner: str
    pairs: list[Pair]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The runs of the comparison, and who is better."""

    goal: Goal
    pairs: tuple[Pair, ...] = ()

    @property
    def gains(self) -> list[float]:
        """By how much the winner is better than the default, for each seed where neither failed."""
        return [self.goal.gain(p["winner"], p["default"]) for p in self.pairs if p["winner"] is not None and p["default"] is not None]

    @property
    def mean(self) -> float:
        """The mean gain; NaN without pairs."""
        return math.fsum(self.gains) / len(self.gains) if self.gains else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean gain over other seeds, by Student's t of the paired differences; endless for fewer than two."""
        gains = self.gains
        if len(gains) < 2:
            return -math.inf, math.inf
        variance = math.fsum((gain - self.mean) ** 2 for gain in gains) / (len(gains) - 1)
        reach = student_t(LEVEL, len(gains) - 1) * math.sqrt(variance / len(gains))
        return self.mean - reach, self.mean + reach

    @property
    def outcome(self) -> Outcome:
        """Who is better. Where runs of only one of them failed, it is the other."""
        failures = [sum(pair[name] is None for pair in self.pairs) for name in ("default", "winner")]
        if not self.pairs:
            return "not compared"
        if failures[0] != failures[1]:
            return "winner" if failures[0] > failures[1] else "default"
        low, high = self.interval
        return "winner" if low > 0 else "default" if high < 0 else "as good"


def compare(
    goal: Goal,
    plan: Plan,
    run: Runner,
    winner: dict[str, Value],
    *,
    folder: Path,
    seed: int,
    elapsed: Callable[[], float],
    overhead: Overhead | None = None,
) -> Comparison:
    """Trains with the default and the winner, with the seeds after `seed`, while there is time. Seeds that `folder` has are not repeated.

    `elapsed` gives the seconds of the budget that are over, and `overhead` what earlier runs took besides their training.
    """
    overhead = overhead or Overhead()
    path, name = folder / FILE, json.dumps(winner, sort_keys=True)
    pairs = [pair for pair in _read(path, name) if pair["seed"] > seed]
    for number in range(len(pairs), SEEDS):
        seconds = _seconds(plan, plan.comparison_end - elapsed(), SEEDS - number, overhead.expected)
        if not seconds:
            break
        began, figures = elapsed(), list[float | None]()
        for values, side in (({}, "default"), (winner, "winner")):
            place = folder / "comparison" / f"{side}-{seed + 1 + number}"
            shutil.rmtree(place, ignore_errors=True)  # of an interrupted call, and perhaps longer than there is time now
            start = elapsed()
            figure = run(values, place, seconds, seed=seed + 1 + number)
            overhead.add(elapsed() - start - seconds)
            figures.append(figure if math.isfinite(figure) else None)
        pairs.append(Pair(seed=seed + 1 + number, default=figures[0], winner=figures[1], seconds=elapsed() - began))
        atomic_io.write(path, json.dumps(_File(winner=name, pairs=pairs), indent=1) + "\n")
    shutil.rmtree(folder / "comparison", ignore_errors=True)
    return Comparison(goal=goal, pairs=tuple(pairs))


def _seconds(plan: Plan, left: float, seeds: int, overhead: float) -> float:
    """The length of both runs of the next seed, of `seeds` that are to come, when `left` seconds are left; 0 if there is no time.

    What earlier ones took too long, all that are left make up for, or fewer if the runs would become too short.
    """
    lengths = (min(plan.whole, left / (2 * count) - overhead) for count in range(seeds, 0, -1))
    return next((length for length in lengths if length >= SHORTEST_S / 2), 0.0)


def spent(folder: Path) -> float:
    """Seconds that the comparison in `folder` has taken until now."""
    path = folder / FILE
    return sum(pair["seconds"] for pair in schema.read(path, _File)["pairs"]) if path.exists() else 0.0


def _read(path: Path, winner: str) -> list[Pair]:
    """The pairs of an interrupted comparison with the same winner."""
    if not path.exists():
        return []
    record = schema.read(path, _File)
    return record["pairs"] if record["winner"] == winner else []
