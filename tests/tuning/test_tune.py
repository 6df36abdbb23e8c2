"""The runner of trials: real trainings, on a clock that only their steps move."""

import json
import math

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed")

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.store.weights import load
from sfumato.train import log, loop, plan, request
from sfumato.train.deadline import Costs
from sfumato.train.schedule import Schedule
from sfumato.train.step import Trainee
from sfumato.tuning.goal import Goal
from sfumato.tuning.trials import Trainer

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def trainer(tiny, bars):
    return Trainer(tiny("vae", validation=0.2), goal=Goal(), data=bars)


@pytest.fixture
def clock(monkeypatch):
    """A step takes a quarter of a second and all else nothing, however busy the machine is."""
    clock, step = Clock(), Trainee.step

    def slow(self, images_seen):
        clock.now += 0.25
        return step(self, images_seen)

    monkeypatch.setattr(Trainee, "step", slow)
    monkeypatch.setattr(plan, "_measured", lambda *arguments: Costs(image=0.25 / 8))
    for module in (plan, log, loop, request):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Clock:
    """Stands still unless it is set."""

    now = 0.0

    def perf_counter(self):
        return self.now


def images_seen(run):
    return load(run).card.images_seen


def test_a_trial_is_prolonged_from_its_state(clock, trainer, tmp_path):
    assert trainer.goal.name == "nats"
    figure, run = trainer({}, tmp_path / "run", 3.0), tmp_path / "run"
    first = images_seen(run)
    assert 0 < clock.now <= 3
    longer = trainer({}, run, 9.0)
    assert 6 < clock.now <= 9, "the steps of the first call are not made again"
    (change,) = Schedule.parse(json.loads((run / "state" / "plan.json").read_text())).changes
    assert (change.images_seen, change.images, change.reason) == (first, images_seen(run), "prolonged")
    assert longer < figure, "nats, of which fewer are better"
    assert trainer({"lr": 1e-5, "batch": 8}, tmp_path / "other", 3.0) > figure


def test_a_run_whose_time_is_over_stays_as_it_is(clock, trainer, tmp_path):
    figure, first = trainer({}, tmp_path / "run", 3.0), images_seen(tmp_path / "run")
    assert trainer({}, tmp_path / "run", clock.now + 0.2) == figure
    assert images_seen(tmp_path / "run") == first


@pytest.mark.parametrize("values", [{}, {"lr": 1e-3}])
@pytest.mark.parametrize("name", ["state/state.safetensors", "settings.json", "state/plan.json"])
def test_a_damaged_run_is_a_failed_trial_with_one_line(name, values, clock, tiny, bars, tmp_path):
    lines = []
    trainer = Trainer(tiny("vae"), goal=Goal(), data=bars, note=lines.append)
    for seconds in (1.0, 3.0):
        trainer(values, tmp_path / "run", seconds)
    (tmp_path / "run" / name).write_text("{}")
    assert math.isnan(trainer(values, tmp_path / "run", 9.0))
    (line,) = lines
    assert line.startswith("the run run failed: ")
    assert name.rsplit("/", maxsplit=1)[-1] in line
    assert "\n" not in line


def test_an_objective_without_figures_is_refused():
    with pytest.raises(SettingError):
        Trainer(sf.recipe("dcgan"), goal=Goal())
