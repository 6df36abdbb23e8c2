"""The search: trials by successive halving, whose resource is time.

    values from the sampler ─ train r seconds ─ among the best third so far? ─ train on to 3r ─ ... ─ complete
                                              └ otherwise it ends here

The first trial has the default values and is never stopped early, so that there is a whole run to compare with.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from sfumato.tuning.journal import Journal
from sfumato.tuning.plan import FACTOR, Overhead, Plan
from sfumato.tuning.space import Dimension, Value, shown
from sfumato.tuning.trials import Note, Runner

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

State = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial that is over."""

    number: int
    values: dict[str, Value]
    """The values of the searched settings by path."""
    figures: tuple[float, ...]
    """The figure at the end of each rung that the trial reached."""
    state: State
    """Complete: trained for the time of a whole run. Failed: these values cannot be trained with."""
    default: bool
    """Whether the values are those of the recipe."""


@final
class Search:
    """Tries values until the time of the search is over."""

    def __init__(
        self,
        journal: Journal,
        dimensions: Sequence[Dimension],
        plan: Plan,
        run: Runner,
        *,
        clock: Callable[[], float] = time.perf_counter,
        began: float | None = None,
        note: Note = lambda _: None,
    ) -> None:
        """`clock` gives seconds, and `began` is its value at the start of the budget."""
        self.journal, self.dimensions, self.plan, self._run, self._clock, self._note = journal, dimensions, plan, run, clock, note
        self.overhead = Overhead()
        self._origin = (clock() if began is None else began) - journal.spent

    @property
    def elapsed(self) -> float:
        """Seconds of the budget that are over, those of interrupted calls included."""
        return self._clock() - self._origin

    def run(self) -> list[TrialRecord]:
        """Runs trials while there is time for one. Returns all that are in the journal, those of other workers included."""
        study = self.journal.study
        if stale := self.journal.retry_stale():
            self._note(f"{stale} interrupted {'trial goes' if stale == 1 else 'trials go'} on")
        if not study.trials:
            encoded = {name: value for dimension in self.dimensions for name, value in dimension.encoded().items()}
            study.enqueue_trial(encoded, user_attrs={"default": True})
        while self._affords(self.plan.lengths[0]):
            trial = study.ask()
            self._trial(trial, {dimension.path: dimension.draw(trial) for dimension in self.dimensions})
        return self.records()

    def _affords(self, seconds: float) -> bool:
        """Whether there is time to train for `seconds`, with what a run takes besides."""
        return self.elapsed + seconds + self.overhead.expected <= self.plan.search_end

    def _trial(self, trial: "Trial", values: dict[str, Value]) -> None:
        """Runs a trial for as long as it is among the best."""
        from optuna.trial import TrialState

        began, default = self.elapsed, bool(trial.user_attrs.get("default"))
        stored: list[float] = list(trial.user_attrs.get("figures", []))
        figures = stored[: len(self.plan.lengths)]  # a journal that was changed by hand may have more
        if figures != stored:
            trial.set_user_attr("figures", figures)
        before = 0.0
        trial.set_user_attr("values", values)
        with self.journal.claimed(trial) as folder:
            figure, complete = math.nan, False
            for rung, length in enumerate(self.plan.lengths):
                if rung < len(figures):
                    figure = figures[rung]
                elif rung and not self._affords(length - before):
                    break  # no time is left to prolong it
                else:
                    self.journal.lease(trial, length)
                    start = self.elapsed
                    figure = self._run({} if default else values, folder, length)
                    self.overhead.add(self.elapsed - start - (length - before))
                    figures = [*figures, figure] if math.isfinite(figure) else figures
                    trial.set_user_attr("figures", figures)
                    trial.set_user_attr("seconds", self.elapsed - began)
                before = length
                if not math.isfinite(figure):
                    break
                trial.report(figure, FACTOR**rung)
                complete = rung == len(self.plan.lengths) - 1
                # Asked at each rung, also for the default: the answer is noted as the rung's and compared with those of other trials.
                if not complete and rung == len(figures) - 1 and trial.should_prune() and not default:
                    break
            # Values that cannot be trained with are told as stopped: the sampler ignores trials that failed.
            complete = complete and math.isfinite(figure)
            self.journal.study.tell(trial, figure if complete else None, state=TrialState.COMPLETE if complete else TrialState.PRUNED)
            shutil.rmtree(folder, ignore_errors=True)
        self._tell(trial.number, values, figure, default, len(figures))

    def _tell(self, number: int, values: dict[str, Value], figure: float, default: bool, rungs: int) -> None:
        """Notes the end of a trial for a person."""
        words = "default" if default else "  ".join(f"{name}={shown(value)}" for name, value in values.items())
        length = f"{self.plan.lengths[rungs - 1]:.0f} s" if rungs else "failed"
        self._note(f"{self.elapsed:6.0f} s  trial {number}: {figure:.4g} after {length}  {words}")

    def records(self) -> list[TrialRecord]:
        """All trials of the journal that are over, except interrupted ones."""
        from optuna.trial import TrialState

        # Trials that are marked as failed were interrupted, and their values tried again.
        over = self.journal.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        return [_record(trial, complete=trial.state == TrialState.COMPLETE) for trial in over]


def _record(trial: "FrozenTrial", *, complete: bool) -> TrialRecord:
    facts = trial.user_attrs
    figures = tuple(facts.get("figures", []))
    return TrialRecord(
        number=trial.number,
        values=facts.get("values", {}),
        figures=figures,
        state="complete" if complete else "stopped" if figures else "failed",
        default=bool(facts.get("default")),
    )
