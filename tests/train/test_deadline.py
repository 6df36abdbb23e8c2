"""A budget is kept: the plan follows the machine, and what was planned is recorded and repeated. Time is a clock of our own here."""

import dataclasses
import json
import math
import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sfumato.core.config import override
from sfumato.core.errors import CheckpointError
from sfumato.recipes import recipe
from sfumato.store import checkpoint
from sfumato.store.migrate import upgraded_tree
from sfumato.train import log, loop, plan, request, speeds
from sfumato.train.deadline import LEAVING, Costs, Deadline
from sfumato.train.distributed import World
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.optim import learning_rate
from sfumato.train.schedule import Change, Schedule
from sfumato.train.step import Trainee

pytestmark = pytest.mark.usefixtures("unchecked")

STEP, SHEET, BUDGET = 0.5, 1.0, 100.0


class Clock:
    """Time that passes only where the machine is made to work, `slowness(seconds at work)` times as long as usual, and in pauses."""

    def __init__(self):
        self.now, self.worked, self.slowness = 0.0, 0.0, lambda spent: 1.0

    def perf_counter(self):
        return self.now

    def work(self, seconds):
        seconds *= self.slowness(self.worked)
        self.now, self.worked = self.now + seconds, self.worked + seconds


@pytest.fixture
def clock(monkeypatch):
    """A step takes STEP seconds and a sheet SHEET."""
    clock, step, sheet = Clock(), Trainee.step, plan.sheet
    monkeypatch.setattr(Trainee, "step", lambda self, seen: (clock.work(STEP), step(self, seen))[1])
    for module in (loop, plan):
        monkeypatch.setattr(module, "sheet", lambda *arguments: (clock.work(SHEET), sheet(*arguments))[1])
    for module in (plan, log, loop, request):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def idle(clock, monkeypatch):
    """Steps that train nothing, where only the time counts that they take."""
    nothing = {"classify/total": torch.tensor(0.0)}
    monkeypatch.setattr(Trainee, "step", lambda self, seen: (clock.work(STEP), nothing)[1])
    return clock


class Listener(Callback):
    """Remembers what it is told, and interrupts or kills the run at the first step past `images`."""

    def __init__(self, stop=math.inf, kill=math.inf):
        self.notes, self.settings, self.rates, self.stop, self.kill = [], None, [], stop, kill

    def note(self, text):
        self.notes.append(text)

    def step(self, seen, settings):
        self.settings = settings
        if seen >= self.kill:
            raise MemoryError
        if seen >= self.stop:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def settings(tiny):
    return tiny("classifier", budget=f"{BUDGET:.0f}s", lr_warmup=80, log_every=80, sample_every=320, save_every=400)


def record(run):
    path = run / "state" / "plan.json"
    return Schedule.parse(json.loads(path.read_text())) if path.exists() else None


def weights(run):
    return checkpoint.read_tensors(run / "state" / "state.safetensors")[0]


def same(one, other):
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


SPEEDS = {
    "three times slower half way": lambda spent: 3.0 if spent > BUDGET / 2 else 1.0,
    "three times slower near the end": lambda spent: 3.0 if spent > 0.85 * BUDGET else 1.0,
    "ten times slower near the end": lambda spent: 10.0 if spent > 0.9 * BUDGET else 1.0,
    "ten times slower for a while": lambda spent: 10.0 if 30 < spent < 60 else 1.0,
    "twice as fast half way": lambda spent: 0.5 if spent > BUDGET / 2 else 1.0,
    "four times faster at once": lambda spent: 0.25 if spent > 12 else 1.0,
    "slower and slower": lambda spent: 1 + 4 * spent / BUDGET,
    "up and down": lambda spent: 1 + (int(spent) // 7) % 2,
    "as planned": lambda spent: 1.0,
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_budget_is_kept_and_used_and_the_schedule_runs_to_its_end(speed, idle, settings, bars, tmp_path):
    idle.slowness = SPEEDS[speed]
    model = fit(settings, data=bars, run=tmp_path, device="cpu")
    assert 0.9 * BUDGET <= idle.now <= 1.05 * BUDGET
    seen, schedule = model.card.images_seen, record(tmp_path) or Schedule(model.card.training["images"])
    assert schedule.images == model.card.training["images"] == seen
    last = [c for c in schedule.changes if c.reason == "over"]
    reached = Schedule(schedule.first, tuple(c for c in schedule.changes if c.reason != "over")).progress(seen)
    assert reached > (0.9 if "near the end" in speed else 0.95), "the step size has fallen as far as it was to fall"
    assert bool(last) == (reached < 1)
    assert len(schedule.changes) < 30
    assert bool(schedule.changes) == (speed != "as planned")


SLOWER = {
    "three times slower half way": lambda spent: 3.0 if spent > BUDGET / 2 else 1.0,
    "ten times slower near the end": lambda spent: 10.0 if spent > 0.7 * BUDGET else 1.0,
}


@pytest.fixture
def slow_end(idle, monkeypatch):
    """Makes a part of the end of a run take so many seconds more, or as many as a function of the time of now says."""

    def slow(part, taking):
        owner, name = {"sample": (loop, "measure"), "save": (checkpoint, "save"), "finish": (loop, "finished")}[part]
        usual = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: (idle.work(taking(idle.now)), usual(*a, **k))[1])

    return slow


@pytest.mark.parametrize("part", ["sample", "save", "finish"])
@pytest.mark.parametrize("speed", SLOWER)
def test_the_end_of_a_run_becomes_slower_with_its_steps(speed, part, slow_end, idle, settings, bars, tmp_path):
    """Nothing is sampled or saved on the way when it becomes slow, so that the end must be foreseen."""
    slow_end(part, lambda now: 2.0)
    idle.slowness = SLOWER[speed]
    model = fit(dataclasses.replace(settings, sample_every=10**6, save_every=10**6), data=bars, run=tmp_path, device="cpu")
    assert idle.now <= 1.05 * BUDGET
    assert idle.now >= (0.9 if "half way" in speed else 0.8) * BUDGET, "and the budget is used"
    assert model.card.training["images"] == model.card.images_seen


def test_saves_that_become_slow_alone_are_foreseen(slow_end, idle, settings, bars, tmp_path):
    slow_end("save", lambda now: 1.0 if now < BUDGET / 2 else 8.0)
    fit(settings, data=bars, run=tmp_path, device="cpu")
    assert 0.85 * BUDGET <= idle.now <= 1.05 * BUDGET


def test_one_stall_does_not_end_a_run(idle, settings, bars, tmp_path):
    idle.slowness = lambda spent: 12.0 if 0.8 * BUDGET <= spent < 0.8 * BUDGET + STEP else 1.0
    fit(settings, data=bars, run=tmp_path, device="cpu")
    assert 0.93 * BUDGET <= idle.now <= BUDGET


def test_last_samples_that_would_end_too_late_are_left_out_and_that_is_said(slow_end, idle, settings, bars, tmp_path):
    slow_end("sample", lambda now: 3.0)
    idle.slowness = lambda spent: 10.0 if spent > 0.85 * BUDGET else 1.0
    listener = Listener()
    model = fit(dataclasses.replace(settings, sample_every=10**6), data=bars, run=tmp_path, device="cpu", watch=listener)
    assert idle.now <= 1.05 * BUDGET
    assert "no time is left in the budget for the last samples" in listener.notes
    assert not (tmp_path / "samples" / f"{model.card.images_seen:09d}.png").exists()
    assert checkpoint.load(tmp_path / "model.safetensors").card.images_seen == model.card.images_seen


def test_the_rehearsal_of_the_end_changes_no_weight(clock, settings, bars, tmp_path):
    planned = fit(settings, data=bars, run=tmp_path, device="cpu")
    straight = fit(dataclasses.replace(settings, budget="", images=planned.card.images_seen), data=bars, device="cpu")
    assert not planned.card.plan
    assert all(torch.equal(weight, straight.network.state_dict()[name]) for name, weight in planned.network.state_dict().items())


def test_a_budget_shorter_than_the_start_says_so_and_makes_one_step(idle, settings, bars):
    listener, short = Listener(), dataclasses.replace(settings, budget="1s")
    model = fit(short, data=bars, device="cpu", watch=listener, began=idle.now - 5)
    assert model.card.images_seen == 8
    told = [note for note in listener.notes if "step" in note or "speed" in note or "budget" in note]
    assert told[0] == "budget = 1s is less than the 5.0 s that the start took: the run ends after one step"
    assert told[1:] == ["no time is left in the budget for the last samples"]


def test_after_a_start_that_took_most_of_the_budget_the_run_still_ends_in_time_and_uses_it(idle, settings, bars):
    listener, began = Listener(), idle.now - 0.6 * BUDGET
    fit(settings, data=bars, device="cpu", watch=listener, began=began)
    assert listener.notes[0] == "the start took 60 s of 100s: the speed is measured while training"
    assert 0.9 * BUDGET <= idle.now - began <= BUDGET


def test_a_change_of_plan_is_told_logged_recorded_and_in_the_card(idle, settings, bars, tmp_path):
    idle.slowness = SPEEDS["three times slower half way"]
    listener = Listener()
    model = fit(settings, data=bars, run=tmp_path, device="cpu", watch=listener)
    schedule = record(tmp_path)
    first = schedule.changes[0]
    assert first.reason == "slower"
    assert 0.5 * BUDGET < first.seconds < 0.6 * BUDGET
    sentence = f"the machine is slower than planned: {first.images:,} images instead of {schedule.first:,}"
    assert sentence in listener.notes
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows if row.get("note") == sentence] == [first.images_seen]
    told = model.card.plan
    assert [(each.images_seen, each.note) for each in told] == [(c.images_seen, str(c)) for c in schedule.changes]
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert upgraded_tree(kept) == json.loads(json.dumps(model.card.training))
    assert (kept["budget"], kept["images"]) == ("100s", model.card.images_seen)


def replay(run, folder, settings, bars, clock):
    """What the plan that `run` recorded leads to in one go, while no time passes that could change it."""
    (folder / "state").mkdir(parents=True)
    (folder / "settings.json").write_text((run / "settings.json").read_text())
    (folder / "state" / "plan.json").write_text((run / "state" / "plan.json").read_text())
    clock.slowness = lambda spent: 0.0
    speeds._path().unlink()
    listener = Listener()
    fit(settings, data=bars, run=folder, device="cpu", watch=listener)
    return listener


def test_killed_and_stopped_anywhere_it_repeats_what_was_planned_to_the_bit(clock, settings, bars, tmp_path):
    settings = dataclasses.replace(settings, save_every=80, sample_every=10_000)
    clock.slowness = lambda spent: 8.0 if 30 < spent < 70 else 2.0
    run, planned = tmp_path / "broken", ()
    for listener in (Listener(kill=120), Listener(stop=160), Listener(kill=208), Listener()):
        try:
            fit(settings, data=bars, run=run, device="cpu", watch=listener)
        except MemoryError:
            clock.now += 1000  # a pause that nobody counts
        known = record(run).changes if record(run) else ()
        assert known[: len(planned)] == planned, "what was planned is never planned anew"
        planned = known
    assert len({c.reason for c in planned}) > 1, "the plan went both ways"
    said = replay(run, tmp_path / "replay", settings, bars, clock).notes
    assert [note for note in said if "machine" in note or "budget" in note] == [str(c) for c in planned]
    assert record(tmp_path / "replay") == record(run)
    assert same(run, tmp_path / "replay")


def test_the_time_before_an_interruption_counts_and_the_pause_does_not(idle, settings, bars, tmp_path):
    assert fit(settings, data=bars, run=tmp_path, device="cpu", watch=Listener(stop=800)).interrupted
    spent, idle.now = idle.now, idle.now + 10_000
    began = idle.now
    fit(settings, data=bars, run=tmp_path, device="cpu")
    assert 0.9 * BUDGET <= spent + idle.now - began <= BUDGET


def test_a_run_that_goes_on_when_its_budget_is_used_up_ends_at_once(idle, settings, bars, tmp_path):
    assert fit(settings, data=bars, run=tmp_path, device="cpu", watch=Listener(stop=800)).interrupted
    path = tmp_path / "state" / "state.safetensors"
    tensors, info = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**info, "elapsed": 2 * BUDGET})
    listener = Listener()
    model = fit(settings, data=bars, run=tmp_path, device="cpu", watch=listener)
    assert not model.interrupted
    assert model.card.images_seen == model.card.training["images"] == 800
    assert any(note.startswith("the budget is used up: the run ends after 800 images instead of") for note in listener.notes)
    again = Listener()
    assert not fit(settings, data=bars, run=tmp_path, device="cpu", watch=again).interrupted
    assert again.notes == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 0, "changes": []}', '{"images": 8, "changes": [{"seen": 1}]}', "[" * 10_000])
def test_a_record_that_cannot_be_read_is_named(text, idle, settings, bars, tmp_path):
    fit(settings, data=bars, run=tmp_path, device="cpu", watch=Listener(stop=80))
    (tmp_path / "state" / "plan.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"plan\.json cannot be read"):
        fit(settings, data=bars, run=tmp_path, device="cpu")


@pytest.mark.parametrize("budget", [30, 100, 1000])
@pytest.mark.parametrize("step", [0.01, 0.5, 2.0])
def test_measuring_takes_a_tenth_of_the_budget_at_most(budget, step, idle, tiny, bars, monkeypatch):
    monkeypatch.setattr(idle, "slowness", lambda spent: step / STEP)
    trained = []
    monkeypatch.setattr(loop.Recovery, "step", lambda self, seen: trained.append(idle.now) or (_ for _ in ()).throw(MemoryError))
    for kind in ("classifier", "gan"):
        idle.now = 0.0
        with pytest.raises(MemoryError):
            fit(tiny(kind, budget=f"{budget}s"), data=bars, device="cpu")
        one_round = step * (2 if kind == "gan" else 1)
        assert trained[-1] <= max(0.1 * budget, one_round) + SHEET * step / STEP


def test_the_second_run_of_its_kind_measures_nothing(idle, settings, bars, tmp_path):
    first, second, other = Listener(), Listener(), Listener()
    fit(settings, data=bars, run=tmp_path / "first", device="cpu", watch=first)
    assert any("measuring the speed" in note for note in first.notes)
    began = idle.now
    model = fit(settings, data=bars, run=tmp_path / "second", device="cpu", watch=second)
    assert second.notes == [note for note in second.notes if note.startswith("as fast as the last time, ")]
    assert 0.95 * BUDGET <= idle.now - began <= BUDGET
    assert not model.card.plan, "nothing had to be changed"
    fit(settings, data=bars, device="cpu", watch=other)
    fit(dataclasses.replace(settings, batch=16), data=bars, device="cpu", watch=other)
    assert sum("measuring the speed" in note for note in other.notes) == 1, "another batch is another kind"


@pytest.mark.parametrize("image", [1e-4, 10.0, 1e4])
def test_a_speed_remembered_wrongly_is_mended_and_ends_no_run(image, idle, settings, bars, tmp_path, monkeypatch):
    monkeypatch.setattr(speeds, "recall", lambda name: Costs(image=image))
    model = fit(settings, data=bars, run=tmp_path, device="cpu")
    assert 0.9 * BUDGET <= idle.now <= BUDGET
    schedule = record(tmp_path)
    reached = Schedule(schedule.first, tuple(c for c in schedule.changes if c.reason != "over")).progress(model.card.images_seen)
    assert reached > 0.95


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"NAME": 3}', '{"NAME": {"image": 1}}', '{"NAME": {"image": NaN, "sample": 0.0, "save": 0.0, "finish": 0.0}}']
)
def test_what_is_remembered_badly_is_measured_again(text, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(speeds, "_path", lambda: tmp_path / "speeds.json")
    (tmp_path / "speeds.json").write_text(text.replace("NAME", "mine"))
    assert speeds.recall("mine") is None
    speeds.remember("mine", Costs(image=2.0, save=1.0))
    assert speeds.recall("mine") == Costs(image=2.0, save=1.0)
    speeds.remember("mine", Costs())
    assert speeds.recall("mine") == Costs(image=2.0, save=1.0), "a run that measured nothing teaches nothing"


def test_a_cache_that_cannot_be_written_stops_nobody(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(speeds, "_path", lambda: tmp_path / "file" / "speeds.json")
    speeds.remember("mine", Costs(image=2.0))
    assert speeds.recall("mine") is None


def test_the_time_that_sampling_and_saving_took_is_reserved_for_the_end(clock, settings):
    watch = Deadline(settings, Costs(sample=7.0, save=2.0, finish=4.0), clock.perf_counter, cycle=1)
    plan_of = Schedule(8000)
    end = (1 - LEAVING) * BUDGET - 13
    clock.now = end - 0.1
    seen = 800 + settings.batch  # where no sample and no save is due
    assert watch.look(seen, plan_of, World()) is None
    clock.now = end + 0.1
    assert watch.look(seen, plan_of, World()).images == seen
    with watch.timed("save"):
        clock.now += 1.0
    assert watch.end == pytest.approx(7.0 + 4.0 + 1.0), "what it took the last time"


@given(
    step=st.floats(0.02, 15),
    cycle=st.sampled_from([1, 2, 4, 16]),
    guess=st.floats(0.3, 3),
    pauses=st.lists(st.booleans(), min_size=1, max_size=7),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_plan_is_far_longer_than_the_time_left(step, cycle, guess, pauses):
    """However slow the steps are, also where a look is due after each of them and has measured nothing since the last."""
    settings = override(recipe("dcgan"), "budget=60s", "sample_every=10000", "save_every=10000")
    clock, batch = Clock(), settings.batch
    deadline = Deadline(settings, Costs(image=guess * step / batch), clock.perf_counter, cycle=cycle)
    schedule, images_seen, world = Schedule(max(plan.LEAST, int(57 / step / guess)) * batch), 0, World()
    while images_seen < schedule.images and clock.now < 120:
        clock.work(step)
        deadline.step()
        images_seen += batch
        if pauses[images_seen // batch % len(pauses)]:
            with deadline.timed("sample"):
                clock.work(0.1)
        change = deadline.look(images_seen, schedule, world)
        if change is not None:
            left = max(0.0, 60 - clock.now)
            assert change.images - images_seen <= (1.5 * left / step + 2) * batch, change
            schedule = dataclasses.replace(schedule, changes=(*schedule.changes, change))


changes = st.lists(st.tuples(st.floats(0, 1), st.floats(1.01, 4), st.sampled_from(["slower", "faster"])), max_size=8)


@hypothesis_settings(deadline=None, max_examples=50)
@given(first=st.integers(8, 10**6), changes=changes)
def test_progress_is_continuous_and_rises_to_one_whatever_the_changes(first, changes):
    schedule, at = Schedule(first), 0
    for where, longer, reason in changes:
        at += int(where * (schedule.images - at))
        schedule = schedule.changed(Change(images_seen=at, images=max(at + 1, int(at * longer)), before=1, seconds=0.0, reason=reason))
    assert Schedule.parse(json.loads(json.dumps(schedule.dump()))) == schedule
    points = sorted(
        {*range(0, schedule.images, max(1, schedule.images // 20)), *(c.images_seen for c in schedule.changes), schedule.images}
    )
    values = [schedule.progress(seen) for seen in points]
    assert values == sorted(values)
    assert values[0] == 0.0
    assert values[-1] == pytest.approx(1.0)
    for change in schedule.changes:
        earlier = Schedule(first, tuple(c for c in schedule.changes if c.images_seen < change.images_seen))
        assert schedule.progress(change.images_seen) == pytest.approx(earlier.progress(change.images_seen)), "nothing jumps"


def test_a_plan_that_never_changes_is_the_old_schedule(settings):
    for seen in (0, 8, 400, 792, 800, 900):
        assert Schedule(800).progress(seen) == min(1.0, seen / 800)
        assert learning_rate(settings, seen, Schedule(settings.images)) == learning_rate(settings, seen)


def test_what_was_to_come_after_a_change_is_forgotten():
    early, late, now = (Change(images_seen=n, images=900, before=1, seconds=0.0, reason="slower") for n in (100, 300, 200))
    assert Schedule(800, (early, late)).changed(now) == Schedule(800, (early, now))
