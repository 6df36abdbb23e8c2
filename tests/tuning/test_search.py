"""Laws of the search, with trainings that only move a clock."""

import functools
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("optuna", reason="Optuna is not installed")

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.data.dataset import Dataset
from sfumato.recipes import recipe
from sfumato.tuning import tune as tuning
from sfumato.tuning.comparison import Comparison, Pair, compare
from sfumato.tuning.goal import Goal, goal_of_flags
from sfumato.tuning.importance import importance, plot
from sfumato.tuning.journal import Journal
from sfumato.tuning.plan import FACTOR, LEAST_S, SEEDS, divided
from sfumato.tuning.result import RECIPE, TuningResult, best
from sfumato.tuning.search import Search
from sfumato.tuning.space import search_space

GOAL = Goal(name="decibels", higher=True)


class Machine:
    """Trainings in no time: the figure is best at lr = 1e-2, grows with the time, and each call takes a little longer than it may."""

    def __init__(self, late=0.02, default=1e-3, dies_after=math.inf, fails=lambda lr: False):
        self.now, self.late, self.default, self.dies_after, self.fails = 0.0, late, default, dies_after, fails
        self.calls, self.reached = [], {}

    def clock(self):
        return self.now

    def __call__(self, values, run, seconds, *, seed=None):
        lr = values.get("lr", self.default)
        if len(self.calls) >= self.dies_after:
            raise KeyboardInterrupt
        assert seconds > self.reached.get(run, 0), "a run is only prolonged"
        self.now += seconds - self.reached.get(run, 0) + self.late
        self.reached[run] = seconds
        self.calls.append((dict(values), run, seconds, seed))
        noise = 0.01 * math.sin(1000 * (seed or 0) * lr)
        return math.nan if self.fails(lr) else 30 - abs(math.log10(lr) + 2) + 0.1 * math.log(seconds) + noise


def searched(folder, machine, budget=240.0, worker="main", began=0.0, names=("lr",)):
    dimensions = search_space(recipe("vae"), names)
    journal = Journal(folder, facts={"recipe": "vae"}, higher=True, worker=worker, seed=0)
    return Search(journal, dimensions, divided(budget), machine, clock=machine.clock, began=began)


def test_the_default_is_first_and_trained_to_the_end(tmp_path):
    machine = Machine(default=1e-3)
    trials = searched(tmp_path, machine).run()
    lengths = divided(240).lengths
    assert [(values, seconds) for values, _, seconds, _ in machine.calls[: len(lengths)]] == [({}, length) for length in lengths]
    assert trials[0].default
    assert trials[0].state == "complete"


@pytest.mark.parametrize("late", [0.0, 0.5, 20.0])
def test_the_search_ends_within_its_share_however_long_runs_take_besides_their_training(tmp_path, late):
    search = searched(tmp_path, Machine(late))
    search.run()
    assert search.elapsed <= search.plan.search_end
    assert search.elapsed > search.plan.search_end - search.plan.lengths[0] - late - 1e-6


@pytest.mark.parametrize("late", [0.0, 5.0, 30.0])
def test_the_comparison_ends_within_the_budget_however_long_runs_take_besides_their_training(tmp_path, late):
    machine = Machine(late)
    search = searched(tmp_path, machine, budget=600.0)
    search.run()
    comparison = compared(tmp_path, machine, overhead=search.overhead)
    assert machine.now <= divided(600).comparison_end
    assert len(comparison.pairs) >= (3 if late < 30 else 2)


def test_about_one_trial_in_three_is_prolonged(tmp_path):
    trials = searched(tmp_path, Machine(), budget=720.0).run()
    counts = [sum(len(trial.figures) > rung for trial in trials) for rung in range(3)]
    assert counts[0] > 20
    for more, fewer in itertools.pairwise(counts):
        assert 1 <= fewer <= 0.75 * more
    assert best(GOAL, trials).values["lr"] == pytest.approx(1e-2, rel=1.5)


def test_no_trial_is_lost_when_the_process_is_stopped_at_any_call(tmp_path):
    for call in (1, 4, 9):
        folder = tmp_path / str(call)
        first = Machine(dies_after=call)
        with pytest.raises(KeyboardInterrupt):
            searched(folder, first).run()
        search = searched(folder, first)
        before = search.records()
        first.dies_after = math.inf
        again = searched(folder, first, began=first.now)
        assert again.elapsed == pytest.approx(first.now, abs=0.1)
        trials = again.run()
        assert trials[: len(before)] == before
        assert sum(trial.default for trial in trials) == 1
        assert next(trial for trial in trials if trial.default).state == "complete"
        assert again.elapsed <= again.plan.search_end + 0.1
        states = {trial.state.name for trial in again.journal.study.trials}
        assert "RUNNING" not in states
        assert "WAITING" not in states


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from test_search import Machine, searched
from pathlib import Path
class Dying(Machine):
    def __call__(self, *arguments, **named):
        if len(self.calls) == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*arguments, **named)
searched(Path({folder!r}), Dying()).run()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_loses_no_trial(tmp_path):
    code = KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode < 0
    machine = Machine()
    search = searched(tmp_path, machine)
    before = search.records()
    stale = [trial for trial in search.journal.study.trials if trial.state.name == "RUNNING"]
    assert len(before) >= 2
    assert len(stale) == 1
    trials = search.run()
    assert trials[: len(before)] == before
    assert search.journal.study.trials[stale[0].number].state.name == "FAIL"
    assert any(trial.values == stale[0].user_attrs["values"] for trial in trials)


def test_workers_share_trials_and_have_budgets_of_their_own(tmp_path):
    one, two = searched(tmp_path, Machine()), searched(tmp_path, Machine(), worker="b")
    count = len(one.run())
    assert len(two.run()) > 1.5 * count
    assert sum(trial.default for trial in two.records()) == 1
    assert {trial.user_attrs["claim"]["worker"] for trial in two.journal.study.trials} == {"main", "b"}


def test_values_that_fail_are_no_winner_and_the_search_goes_on(tmp_path):
    trials = searched(tmp_path, Machine(fails=lambda lr: lr > 5e-3)).run()
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    assert all(trial.values["lr"] > 5e-3 for trial in failed)
    assert best(GOAL, trials).values["lr"] <= 5e-3


def test_another_search_in_the_folder_is_refused(tmp_path):
    Journal(tmp_path, facts={"recipe": "vae"}, higher=True, worker="main", seed=0)
    with pytest.raises(SettingError):
        Journal(tmp_path, facts={"recipe": "gan"}, higher=True, worker="main", seed=0)


def compared(folder, machine, lr=1e-2, **options):
    return compare(GOAL, divided(600), machine, {"lr": lr}, folder=folder, seed=0, elapsed=machine.clock, **options)


def test_the_comparison_pairs_fresh_seeds_and_keeps_to_the_budget(tmp_path):
    machine = Machine()
    machine.now = 330.0
    comparison = compared(tmp_path, machine)
    assert [pair["seed"] for pair in comparison.pairs] == [1, 2, 3, 4, 5]
    assert machine.now <= divided(600).comparison_end + 0.2
    assert comparison.outcome == "winner"
    calls = [(seconds, seed) for _, _, seconds, seed in machine.calls]
    assert calls[::2] == calls[1::2]


def test_an_interrupted_comparison_repeats_no_seed(tmp_path):
    machine = Machine(dies_after=5)
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, machine)
    machine.dies_after, machine.reached = math.inf, {}
    comparison = compared(tmp_path, machine)
    assert len(comparison.pairs) == SEEDS
    assert sum(seed == 1 for _, _, _, seed in machine.calls) == 2


def pairs(*gains):
    return tuple(Pair(seed=i, default=30.0, winner=None if gain is None else 30.0 + gain, seconds=1.0) for i, gain in enumerate(gains))


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((1, 1.1, 0.9, 1), "winner"),
        ((-1, -1.1, -0.9), "default"),
        ((1, -1, 0.5, -0.4), "as good"),
        ((5,), "as good"),
        ((), "not compared"),
        ((1, None), "default"),
    ],
)
def test_outcomes(gains, outcome):
    assert Comparison(goal=GOAL, pairs=pairs(*gains)).outcome == outcome


def test_the_interval_is_that_of_students_t():
    low, high = Comparison(goal=GOAL, pairs=pairs(1, 2, 3, 4, 5)).interval
    assert (low, high) == (pytest.approx(3 - 1.9634, abs=0.01), pytest.approx(3 + 1.9634, abs=0.01))


def test_lower_is_better_where_the_goal_says_so():
    goal = Goal(name="nats", higher=False)
    assert Comparison(goal=goal, pairs=pairs(-1, -1.1, -0.9)).outcome == "winner"


def test_the_result_is_written_and_its_recipe_can_be_read(tmp_path):
    machine = Machine()
    search = searched(tmp_path, machine, names=("lr", "model.width"))
    trials = tuple(search.run())
    shares = importance(search.journal)
    assert max(shares, key=shares.get) == "lr"
    assert sum(shares.values()) == pytest.approx(1)
    assert plot(shares).shape[2] == 3
    assert plot({}).shape[2] == 3
    winner = best(GOAL, trials)
    result = TuningResult(
        settings=recipe("vae"), goal=GOAL, trials=trials, importance=shares, comparison=compared(tmp_path, machine), seconds=1.0
    )
    result.write(tmp_path)
    read = recipe(str(tmp_path / RECIPE))
    if result.comparison.outcome == "winner":
        assert read.lr == winner.values["lr"]
        assert read.model.width == winner.values["model.width"]
    assert json.loads((tmp_path / "tuning.json").read_text())["outcome"] == result.comparison.outcome
    assert result.table().row_count >= 10


@pytest.mark.parametrize("budget", [90, 100, 600, 7200, 1e6])
def test_the_budget_is_divided(budget):
    plan = divided(budget)
    assert all(more == pytest.approx(FACTOR * less) for less, more in itertools.pairwise(plan.lengths))
    assert plan.search_end + 2 * SEEDS * plan.whole <= plan.comparison_end + 1e-6 < budget
    assert plan.search_end > 5 * plan.whole


def test_a_budget_that_is_too_short_is_refused():
    with pytest.raises(SettingError):
        divided(LEAST_S / 2)


def test_goals():
    assert Goal().settled(["kl", "nats", "bits_per_dimension"]) == Goal(name="bits_per_dimension", higher=False)
    assert goal_of_flags(maximise="psnr_1", minimise="").settled(["psnr_1"]) == Goal(name="psnr_1", higher=True)
    for goal, figures in ((Goal(), ["kl"]), (Goal(name="a", higher=True), ["b"]), (Goal(), [])):
        with pytest.raises(SettingError):
            goal.settled(figures)
    with pytest.raises(SettingError):
        goal_of_flags(maximise="a", minimise="b")


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    """Calls `tune` with trainings that only move a clock."""
    machine = Machine(default=1e-4)

    class NoTrainer:
        goal, data = GOAL, Dataset(name="nothing", pixels=torch.zeros(1, 1, 1, 1, dtype=torch.uint8))

        def __init__(self, settings, **_):
            pass

        def __call__(self, *arguments, **named):
            return machine(*arguments, **named)

    monkeypatch.setattr(tuning, "Trainer", NoTrainer)
    monkeypatch.setattr(tuning, "Search", functools.partial(Search, clock=machine.clock))

    def call(folder="search", **options):
        options = {"budget": "10min", "search": ["lr=1e-5:1e-1"], "began": machine.now} | options
        return tuning.tune(recipe("vae"), out=tmp_path / folder, **options)

    return call, machine, tmp_path


def test_the_winner_becomes_a_recipe_and_the_same_call_repeats_nothing(tuned):
    tune, machine, folder = tuned
    result = tune()
    assert result.comparison.outcome == "winner"
    assert recipe(str(folder / "search" / RECIPE)) == result.recipe
    assert result.recipe.lr == result.winner.values["lr"] == pytest.approx(1e-2, rel=2)
    assert machine.now <= 600
    calls = len(machine.calls)
    again = tune()
    assert (len(machine.calls), again.comparison, again.recipe) == (calls, result.comparison, result.recipe)


def test_another_worker_only_searches(tuned):
    tune, _, folder = tuned
    result = tune(worker="b")
    assert result.comparison.outcome == "not compared"
    assert not (folder / "search" / RECIPE).exists()
    assert len(tune().trials) > len(result.trials)


@pytest.mark.parametrize("name", ["recipe.json", "comparison.json", "trials"])
def test_a_folder_that_no_search_wrote_is_refused(name, tuned):
    tune, machine, folder = tuned
    (folder / "search").mkdir()
    (folder / "search" / name).write_text("precious")
    with pytest.raises(SettingError, match=name):
        tune()
    assert not machine.calls
    assert (folder / "search" / name).read_text() == "precious"


@pytest.mark.parametrize("text", ["precious", "{}\n", "[]\n[]\n", '{"op_code": 99}\n'])
def test_a_damaged_journal_is_refused_in_one_line(text, tuned):
    tune, _, folder = tuned
    (folder / "search").mkdir()
    (folder / "search" / "journal.log").write_text(text)
    with pytest.raises(CheckpointError, match=r"journal\.log is damaged"):
        tune()


@pytest.mark.parametrize("attributes", [{"folder": "../../victim"}, {"folder": "/dev"}, {"folder": ""}, {"claim": []}, {"figures": "x"}])
def test_a_trial_in_a_folder_elsewhere_or_with_facts_that_are_none_is_refused(attributes, tmp_path):
    """The folder of a trial is written into, and removed after it."""
    (tmp_path / "victim").mkdir()
    journal = searched(tmp_path / "search", Machine()).journal
    trial = journal.study.ask()
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    with pytest.raises(CheckpointError, match=r"journal\.log is damaged") as refusal:
        searched(tmp_path / "search", Machine())
    assert "\n" not in str(refusal.value)
    if "folder" in attributes:  # also where another process writes the line while this one works
        with pytest.raises(CheckpointError), journal.claimed(trial):
            pass
    assert (tmp_path / "victim").is_dir()


def test_a_journal_does_not_tell_the_name_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "whose-laptop")
    journal = searched(tmp_path, Machine()).journal
    trial = journal.study.ask()
    journal.lease(trial, 1)
    assert "whose-laptop" not in (tmp_path / "journal.log").read_text()
    assert trial.user_attrs["claim"]["host"]


def test_a_line_of_the_journal_that_a_crash_cut_off_is_dropped(tmp_path):
    first = searched(tmp_path, Machine())
    trials = first.run()
    with (tmp_path / "journal.log").open("a") as file:
        file.write('{"op_code":4,"worker_')
    again = searched(tmp_path, Machine(), worker="b")
    assert again.records() == trials
    assert len(again.run()) > len(trials)
    assert searched(tmp_path, Machine()).records() == again.records()


def test_a_journal_of_another_direction_is_refused(tmp_path):
    Journal(tmp_path, facts={"recipe": "vae"}, higher=False, worker="main", seed=0)
    with pytest.raises(CheckpointError, match=r"journal\.log is damaged, or no journal of a search \(it is of another direction\)"):
        searched(tmp_path, Machine())


def test_a_trial_with_more_figures_than_there_are_rungs_is_taken_up(tmp_path):
    search = searched(tmp_path, Machine())
    search.journal.study.enqueue_trial({}, user_attrs={"figures": [0.5] * 50})
    assert len(search.run()) > 1
    assert all(len(record.figures) <= len(search.plan.lengths) for record in search.records())
