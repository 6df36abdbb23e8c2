"""Settings by search: within a budget of time, many short trainings, then the best settings against the default over fresh seeds."""

import time
from collections.abc import Sequence
from pathlib import Path

from sfumato.core.config import dump
from sfumato.core.errors import SettingError
from sfumato.core.outputs import check_folder, check_folder_name
from sfumato.data.dataset import Dataset, Scenes
from sfumato.train.settings import TrainSettings, named, seconds
from sfumato.tuning import comparison
from sfumato.tuning.comparison import FILE, Comparison, compare
from sfumato.tuning.goal import Goal, goal_of_flags
from sfumato.tuning.importance import importance
from sfumato.tuning.journal import LOG, TRIALS, Journal
from sfumato.tuning.plan import Plan, divided
from sfumato.tuning.result import FIGURES, PLOT, RECIPE, TuningResult, best
from sfumato.tuning.search import Search
from sfumato.tuning.space import Dimension, search_space
from sfumato.tuning.trials import Note, Runner, Trainer

MAIN = "main"
"""The worker that compares the winner with the default; others only search."""


def tune(
    settings: TrainSettings,
    *,
    out: str | Path,
    budget: str = "1h",
    search: Sequence[str] = (),
    maximise: str = "",
    minimise: str = "",
    data: Dataset | Scenes | None = None,
    worker: str = MAIN,
    device: str = "auto",
    note: Note = lambda _: None,
    began: float | None = None,
) -> TuningResult:
    """Searches settings that train better than `settings` within the same time, and writes the result into the folder `out`.

    `search` names the settings, as `lr`, `lr=1e-4:1e-2` or `batch=16,32`. `maximise` or `minimise` names the figure of held-out images; by
    default the objective decides. The same call goes on with a search that was interrupted. Calls with one `out` and different `worker`
    share the trials; that called `main` makes the comparison. `note` is called with a line for each trial. The budget counts from this
    call, or from the value `began` of `time.perf_counter()`.
    Raises MissingExtraError without Optuna; SettingError for settings that cannot be searched, a budget below 90 seconds, or a folder that
    holds another search or files that no search wrote; CheckpointError for a damaged journal; KeyboardInterrupt if it is interrupted.
    """
    began = time.perf_counter() if began is None else began
    folder, plan, dimensions = Path(out), divided(seconds(budget)), search_space(settings, search)
    _check_out(folder)
    goal = goal_of_flags(maximise=maximise, minimise=minimise)
    trainer = Trainer(settings, goal=goal, data=data, device=device, note=note)
    facts = {
        "recipe": dump(named(settings)),
        "search": [str(dimension) for dimension in dimensions],
        "figure": trainer.goal.name,
        "budget": budget,
        "data": trainer.data.fingerprint,
    }
    journal = Journal(folder, facts=facts, higher=bool(trainer.goal.higher), worker=worker, seed=settings.seed)
    note(f"improving {trainer.goal}; searching {'; '.join(map(str, dimensions))}")
    return _searched(settings, trainer, trainer.goal, journal, dimensions, plan, note=note, began=began)


def _check_out(folder: Path) -> None:
    """Raises SettingError for a name that ends like a file, and for files that no search wrote; StorageError if nothing can be written."""
    check_folder_name(folder)
    check_folder(folder)
    names = (RECIPE, FIGURES, PLOT, FILE, TRIALS)
    if not (folder / LOG).exists() and (name := next((name for name in names if (folder / name).exists()), None)):
        raise SettingError(f"{folder} holds {name} of something that is no search of settings; choose another folder with --out")


def _searched(
    settings: TrainSettings,
    run: Runner,
    goal: Goal,
    journal: Journal,
    dimensions: Sequence[Dimension],
    plan: Plan,
    *,
    note: Note,
    began: float,
) -> TuningResult:
    """Search, comparison and result."""
    main = journal.worker == MAIN
    search = Search(journal, dimensions, plan, run, began=began - comparison.spent(journal.folder) * main, note=note)
    trials = tuple(search.run())
    winner = best(goal, trials)
    compared = Comparison(goal=goal)
    if winner is not None and main:
        note(f"comparing trial {winner.number} with the default over fresh seeds")
        compared = compare(
            goal,
            plan,
            run,
            winner.values,
            folder=journal.folder,
            seed=settings.seed,
            elapsed=lambda: search.elapsed,
            overhead=search.overhead,
        )
    result = TuningResult(
        settings=settings, goal=goal, trials=trials, importance=importance(journal), comparison=compared, seconds=search.elapsed
    )
    if main:
        result.write(journal.folder)
    return result
