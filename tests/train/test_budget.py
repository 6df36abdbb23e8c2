"""A wall-clock budget becomes a number of images. Time is a clock of our own here, so the arithmetic can be checked."""

import dataclasses
import json
import signal

import pytest

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.models import stylegan
from sfumato.train import log, loop, plan, request
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.optim import learning_rate
from sfumato.train.step import Trainee

pytestmark = pytest.mark.usefixtures("unchecked")

SECONDS_AN_IMAGE, SECONDS_A_SHEET, WARM_UP = 0.25, 2.0, 1.0


@pytest.fixture
def clock(monkeypatch):
    """Training takes SECONDS_AN_IMAGE, a sheet SECONDS_A_SHEET, the very first step WARM_UP more; nothing else takes time worth a word."""

    class Clock:
        now = 100.0
        slowness = staticmethod(lambda spent: 1.0)
        """How many times longer all takes when so many seconds are over."""

        def perf_counter(self):
            return self.now

        def spend(self, seconds):
            self.now += seconds * self.slowness(self.now - 100)

    clock, step, sheet, finished = Clock(), Trainee.step, plan.sheet, loop.finished

    def slow_step(self, seen):
        clock.spend(self.settings.batch * SECONDS_AN_IMAGE + (WARM_UP if clock.now == 100.0 else 0))
        return step(self, seen)

    def slow_sheet(model, stream, settings):
        clock.spend(SECONDS_A_SHEET)
        return sheet(model, stream, settings)

    def soon_finished(trainee, complete):
        clock.spend(0.001)
        return finished(trainee, complete)

    monkeypatch.setattr(loop, "finished", soon_finished)
    monkeypatch.setattr(Trainee, "step", slow_step)
    monkeypatch.setattr("sfumato.train.loop.sheet", slow_sheet)
    monkeypatch.setattr(plan, "sheet", slow_sheet)
    for module in (plan, log, loop, request):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Remember(Callback):
    """Remembers the settings, the notes and the last row; interrupts the run at row number `stop`."""

    def __init__(self, stop=None):
        self.settings, self.notes, self.rows, self.stop = None, [], [], stop

    def start(self, settings, model, seen, device, precision):
        self.settings = settings

    def note(self, text):
        self.notes.append(text)

    def row(self, row, settings):
        self.rows.append(row)
        if len(self.rows) == self.stop:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", ["gan", "classifier"])
def test_the_run_ends_just_before_its_budget(kind, clock, tiny, bars):
    watch = Remember()
    fit(tiny(kind, budget="2min"), data=bars, device="cpu", watch=watch)
    took = clock.now - 100
    assert 0.9 * 120 < took <= 120, f"{took:.0f} s of 120, for {watch.settings.images} images"


def test_the_schedule_fits_the_planned_length(clock, tiny, bars):
    watch = Remember()
    fit(tiny("classifier", budget="2min", lr_end=0.1), data=bars, device="cpu", watch=watch)
    planned = watch.settings.images
    assert planned % 8 == 0
    assert watch.rows[-1]["images"] == planned
    assert learning_rate(watch.settings, planned) == pytest.approx(0.1 * watch.settings.lr)
    assert learning_rate(watch.settings, planned - 8) == pytest.approx(0.1 * watch.settings.lr, rel=0.05)


def test_the_plan_is_told_and_kept(clock, tiny, bars, tmp_path):
    watch = Remember()
    fit(tiny("classifier", budget="2min"), data=bars, device="cpu", watch=watch, run=tmp_path)
    assert "measuring the speed, to end after 2min" in watch.notes
    assert any(f"{watch.settings.images:,} images until 2min are over" in note for note in watch.notes)
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert (kept["budget"], kept["images"]) == ("2min", watch.settings.images)


def test_the_measurement_leaves_no_trace_in_the_weights(clock, tiny, bars):
    watch = Remember()
    planned = fit(tiny("classifier", budget="2min"), data=bars, device="cpu", watch=watch).network.state_dict()
    asked = fit(tiny("classifier", images=watch.settings.images), data=bars, device="cpu").network.state_dict()
    assert all(planned[name].equal(asked[name]) for name in planned)


def test_going_on_keeps_the_planned_length_and_measures_nothing(clock, tiny, bars, tmp_path):
    settings, first, second = tiny("classifier", budget="2min"), Remember(stop=3), Remember()
    assert fit(settings, data=bars, device="cpu", watch=first, run=tmp_path).interrupted
    assert not fit(settings, data=bars, device="cpu", watch=second, run=tmp_path).interrupted
    assert second.settings == first.settings
    (note,) = second.notes
    assert note.startswith("the budget of 2min is for the whole run")


def test_with_time_for_it_the_network_grows_and_the_run_goes_on_with_that_one(clock, bars, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "STEPS", 1e-3)
    small = stylegan.Config(latent_dim=4, style_dim=4, mapping=1, width=2, discriminator_width=2, max_width=4, group=2, layers=1)
    settings = tiny("gan", budget="1h", model=small, sample_every=400, save_every=400)
    images = {}
    for grow in (0, 10**6, 100):
        watch = Remember(stop=2)
        fit(dataclasses.replace(settings, grow=grow), data=bars, device="cpu", run=tmp_path / str(grow), watch=watch)
        images[grow] = watch.settings
    assert images[0].model.layers == images[10**6].model.layers == 1
    assert (images[100].model.layers, images[100].model.discriminator, images[100].model.width) == (2, "residual", 128)
    again = Remember(stop=1)
    fit(dataclasses.replace(settings, grow=100), data=bars, device="cpu", run=tmp_path / "100", watch=again)
    assert again.settings == images[100]
    other = dataclasses.replace(settings, grow=100, model=dataclasses.replace(small, width=3))
    with pytest.raises(CheckpointError, match="layers"):
        fit(other, data=bars, device="cpu", run=tmp_path / "100")
    with pytest.raises(SettingError, match="has only one size"):
        fit(tiny("gan", grow=100), data=bars, device="cpu")


def test_a_network_does_not_outgrow_the_weights_it_begins_with(clock, bars, tiny, tmp_path):
    small = stylegan.Config(latent_dim=4, style_dim=4, mapping=1, width=2, discriminator_width=2, max_width=8)
    settings = dataclasses.replace(tiny("gan"), model=small, images=16)
    fit(settings, data=bars, device="cpu", run=tmp_path / "first")
    watch = Remember(stop=1)
    settings = dataclasses.replace(settings, start=str(tmp_path / "first"), budget="600s", grow=100)
    fit(settings, data=bars, device="cpu", run=tmp_path / "second", watch=watch)
    assert watch.settings.images > 100
    assert watch.settings.model.width == 2


def test_a_budget_too_short_for_anything_makes_one_step(clock, tiny, bars):
    assert fit(tiny("classifier", budget="1s"), data=bars, device="cpu").card.images_seen == 8


@pytest.mark.parametrize("budget", ["soon", "10", "-3s", "0s", "5 days", "1h30m"])
def test_a_budget_that_is_no_length_of_time_is_refused(budget, tiny):
    with pytest.raises(SettingError, match="write 90s, 20min or 2h"):
        dataclasses.replace(tiny("classifier"), budget=budget)
