"""The result of a search: a table, the importance of each setting, a sentence, and a recipe file."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core import atomic_io
from sfumato.core.json_value import Json, JsonObject
from sfumato.train.folder import write_settings
from sfumato.train.settings import TrainSettings, shareable
from sfumato.tuning.comparison import Comparison
from sfumato.tuning.goal import Goal
from sfumato.tuning.importance import save_plot
from sfumato.tuning.search import TrialRecord
from sfumato.tuning.space import Value, shown, with_values

if TYPE_CHECKING:
    from rich.table import Table

RECIPE, FIGURES, PLOT = "recipe.json", "tuning.json", "importance.png"
"""The files of the result, in the folder of the search."""
ROWS = 10
"""Trials in the table."""


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """A search that is over."""

    settings: TrainSettings
    """The recipe as it was given."""
    goal: Goal
    trials: tuple[TrialRecord, ...]
    """All trials in the order in which they began."""
    importance: dict[str, float]
    """The share of each setting in the spread of the figure, largest first; empty for too few trials."""
    comparison: Comparison
    seconds: float
    """Time of the search and the comparison."""

    @property
    def winner(self) -> TrialRecord | None:
        """The best trial with the time of a whole run, unless the default is as good; None without one."""
        return best(self.goal, self.trials)

    @property
    def values(self) -> dict[str, Value]:
        """The values to train with: those of the winner if the comparison shows that it is better, else none."""
        winner = self.winner
        return winner.values if winner is not None and self.comparison.outcome == "winner" else {}

    @property
    def recipe(self) -> TrainSettings:
        """The settings to train with: those of the recipe with `values`."""
        return with_values(self.settings, self.values)

    @property
    def sentence(self) -> str:
        """Whether other settings are better than the default, and by how much."""
        comparison, name = self.comparison, self.goal.name
        if self.winner is None:
            return f"the default is as good: no other trial had a better {name} after the time of a whole run"
        if comparison.outcome == "not compared":
            return "no time was left to compare the winner with the default; the default stays"
        if not comparison.gains or any(None in pair.values() for pair in comparison.pairs):
            side = "default" if comparison.outcome == "winner" else "winner"
            return f"runs of the {side} failed: {'the winner is better' if side == 'default' else 'the default stays'}"
        low, high = comparison.interval
        seeds = f"95 %, {len(comparison.gains)} seeds: {low:+.4g}, {high:+.4g}"
        by = f"the winner's {name} is better by {comparison.mean:.4g} [{seeds}]"
        says = {"winner": "the winner is better than the default", "default": "the default is better", "as good": "the default is as good"}
        return f"{says[comparison.outcome]}: {by}"

    def table(self) -> "Table":
        """The best trials, the default among them, those with more time first."""
        from rich.table import Table

        ordered = ranked(self.goal, self.trials)
        names = list(dict.fromkeys(name for trial in ordered for name in trial.values))
        table = Table(box=None, pad_edge=False)
        for column in ("trial", self.goal.name, "", *names):
            table.add_column(column, justify="right" if column != "" else "left")
        shown_trials = ordered[:ROWS] + [trial for trial in ordered[ROWS:] if trial.default]
        for trial in shown_trials:
            figure = f"{trial.figures[-1]:.4g}" if trial.figures else "-"
            values = (shown(trial.values[name]) if name in trial.values else "" for name in names)
            table.add_row(f"{trial.number}{' (default)' if trial.default else ''}", figure, trial.state, *values)
        return table

    def write(self, folder: Path) -> None:
        """Writes the recipe, the figures and the plot of importance. Raises StorageError."""
        write_settings(folder / RECIPE, shareable(self.recipe))
        atomic_io.write(folder / FIGURES, json.dumps(self._json(), indent=1) + "\n")
        save_plot(self.importance, folder / PLOT)

    def _json(self) -> JsonObject:
        trials: list[Json] = [
            {"number": t.number, "state": t.state, "default": t.default, "figures": list(t.figures), "values": dict(t.values)}
            for t in self.trials
        ]
        interval: list[Json] = [end if math.isfinite(end) else None for end in self.comparison.interval]
        pairs: list[Json] = [
            {"seed": p["seed"], "default": p["default"], "winner": p["winner"], "seconds": p["seconds"]} for p in self.comparison.pairs
        ]
        return {
            "figure": self.goal.name,
            "higher_is_better": bool(self.goal.higher),
            "outcome": self.comparison.outcome if self.winner is not None else "as good",
            "sentence": self.sentence,
            "gain": self.comparison.mean if self.comparison.gains else None,
            "interval": interval,
            "values": dict(self.values),
            "importance": dict(self.importance),
            "seconds": round(self.seconds, 2),
            "pairs": pairs,
            "trials": trials,
        }


def ranked(goal: Goal, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials, best first: those that reached more rungs before others, for figures after different times do not compare."""

    def key(trial: TrialRecord) -> tuple[int, float]:
        last = trial.figures[-1] if trial.figures else 0.0
        return -len(trial.figures), -last if goal.higher else last

    return sorted(trials, key=key)


def best(goal: Goal, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The best complete trial; None if that is the default, or if there is none."""
    complete = [trial for trial in ranked(goal, trials) if trial.state == "complete"]
    return complete[0] if complete and not complete[0].default else None
