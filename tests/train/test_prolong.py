"""A run can be prolonged: with more images, or a longer budget, the same folder goes on, and exactly so."""

import dataclasses
import json
import re
import signal

import pytest
import torch

from sfumato.core.errors import CheckpointError
from sfumato.store import checkpoint
from sfumato.train import log, loop, plan, request
from sfumato.train.deadline import Costs
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.optim import learning_rate
from sfumato.train.schedule import Change, Schedule
from sfumato.train.step import Trainee

pytestmark = pytest.mark.usefixtures("unchecked")


class Listener(Callback):
    """Remembers what it is told, and kills the run after so many images."""

    def __init__(self, kill=None):
        self.notes, self.kill = [], kill

    def note(self, text):
        self.notes.append(text)

    def step(self, seen, settings):
        if seen == self.kill:
            raise MemoryError


def same(one, other):
    mine, theirs = (checkpoint.read_tensors(run / "state" / "state.safetensors")[0] for run in (one, other))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("kind", ["classifier", "gan"])
def test_a_finished_run_goes_on_exactly_and_says_so(kind, tiny, bars, tmp_path):
    short, long, listener = tiny(kind, images=80), tiny(kind, images=160), Listener()
    for name in ("straight", "killed"):
        fit(short, data=bars, run=tmp_path / name, device="cpu")
    model = fit(long, data=bars, run=tmp_path / "straight", device="cpu", watch=listener)
    sentence = "prolonged at 80 of 80 images: it goes on to 160"
    assert listener.notes == [sentence]
    assert (model.card.images_seen, model.card.training["images"]) == (160, 160)
    assert [(each.images_seen, each.note) for each in model.card.plan] == [(80, sentence)]
    assert json.loads((tmp_path / "straight" / "settings.json").read_text())["images"] == 160
    for after in (88, 136):
        with pytest.raises(MemoryError):
            fit(long, data=bars, run=tmp_path / "killed", device="cpu", watch=Listener(kill=after))
    again = Listener()
    fit(long, data=bars, run=tmp_path / "killed", device="cpu", watch=again)
    assert again.notes == [], "what is in the log already is not said again"
    assert same(tmp_path / "straight", tmp_path / "killed")
    notes = [line for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines() if sentence in line]
    assert len(notes) == 1


def test_it_can_be_prolonged_again_and_before_its_end(tiny, bars, tmp_path):
    with pytest.raises(MemoryError):
        fit(tiny("classifier", images=160), data=bars, run=tmp_path, device="cpu", watch=Listener(kill=104))
    model = fit(tiny("classifier", images=240), data=bars, run=tmp_path, device="cpu")
    model = fit(tiny("classifier", images=320), data=bars, run=tmp_path, device="cpu")
    told = [each.note for each in model.card.plan]
    assert told == ["prolonged at 96 of 160 images: it goes on to 240", "prolonged at 240 of 240 images: it goes on to 320"]
    assert model.card.images_seen == 320


def test_the_file_of_a_plan_keeps_its_names():
    schedule = Schedule(400, (Change(images_seen=400, images=800, before=400, seconds=1.0, reason="prolonged"),))
    entry = {"seen": 400, "images": 800, "before": 400, "seconds": 1.0, "reason": "prolonged"}
    assert schedule.dump() == {"images": 400, "changes": [entry]}
    assert Schedule.parse(schedule.dump()) == schedule


def test_it_trains_on_as_a_run_of_the_new_length_and_rises_once_more(tiny):
    settings = dataclasses.replace(tiny("classifier"), images=400, batch=10, lr=1.0, lr_warmup=50, lr_end=0.0)
    schedule = Schedule(400, (Change(images_seen=400, images=800, before=400, seconds=1.0, reason="prolonged"),))
    whole = Schedule(800)
    assert schedule.progress(390) == 0.975
    assert [schedule.progress(seen) for seen in (400, 600, 800)] == [whole.progress(seen) for seen in (400, 600, 800)]
    assert learning_rate(settings, 400, schedule) == pytest.approx(0.2 * learning_rate(settings, 400, whole))
    assert learning_rate(settings, 440, schedule) == pytest.approx(learning_rate(settings, 440, whole))


def content(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_that_is_not_complete_is_not_shortened(tiny, bars, tmp_path):
    with pytest.raises(MemoryError):
        fit(tiny("classifier", images=80), data=bars, run=tmp_path, device="cpu", watch=Listener(kill=56))
    before = content(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"images = 40, and the run in .* is one of 80 \(48 images seen\): a run can be made longer, but"
    ):
        fit(tiny("classifier", images=40), data=bars, run=tmp_path, device="cpu")
    assert content(tmp_path) == before


def test_the_first_command_of_a_run_that_was_prolonged_finds_it_complete(tiny, bars, tmp_path):
    for images in (80, 160):
        fit(tiny("classifier", images=images), data=bars, run=tmp_path, device="cpu")
    log, weights = (tmp_path / "log.jsonl").read_bytes(), checkpoint.read_tensors(tmp_path / "state" / "state.safetensors")[0]
    for _ in range(2):
        listener = Listener()
        model = fit(tiny("classifier", images=80), data=bars, run=tmp_path, device="cpu", watch=listener)
        assert listener.notes == [f"the run in {tmp_path} is complete, and with 160 images longer than the 80 asked for"]
        assert (model.interrupted, model.card.images_seen, model.card.training["images"]) == (False, 160, 160)
    assert (tmp_path / "log.jsonl").read_bytes() == log
    after = checkpoint.read_tensors(tmp_path / "state" / "state.safetensors")[0]
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())


def test_a_longer_budget_prolongs_a_run_and_a_shorter_one_does_not(tiny, bars, tmp_path, monkeypatch):
    """How fast the machine is does not matter: training is said to take a thousandth of a second an image, and stops after a step."""
    monkeypatch.setattr(plan, "_measured", lambda *arguments: Costs(image=1e-3))
    settings, run = tiny("classifier", budget="50min", sample_every=10**7, save_every=10**7), tmp_path / "run"
    planned = fit(settings, data=bars, run=run, device="cpu", watch=Stop()).card.training["images"]
    same_time = fit(dataclasses.replace(settings, budget="3000s"), data=bars, run=run, device="cpu", watch=Stop())
    assert not same_time.card.plan, "it is the same length of time"
    assert same_time.card.training["images"] == planned > 2 * 10**6
    model = fit(dataclasses.replace(settings, budget="100min"), data=bars, run=run, device="cpu", watch=Stop())
    assert model.card.training["budget"] == "100min"
    assert model.card.training["images"] == pytest.approx(2 * planned, rel=0.05)
    (told,) = model.card.plan
    assert told.note.startswith(f"prolonged at 16 of {planned:,} images: it goes on to")
    with pytest.raises(
        CheckpointError, match=r"budget = 50min, and the run in .* was given 100min \(24 images seen\): a run can be made longer, but"
    ):
        fit(settings, data=bars, run=run, device="cpu")


class Stop(Callback):
    """Interrupts the run after its first step."""

    def step(self, seen, settings):
        signal.raise_signal(signal.SIGINT)


def test_a_longer_budget_that_is_used_up_is_refused(tiny, bars, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_measured", lambda *arguments: Costs(image=1e-3))
    fit(tiny("classifier", budget="10min"), data=bars, run=tmp_path, device="cpu", watch=Stop())
    path = tmp_path / "state" / "state.safetensors"
    tensors, info = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**info, "elapsed": 1800.0})
    with pytest.raises(CheckpointError, match=r"budget = 20min, and the run in .* has taken 30\.0 min already; give it more"):
        fit(tiny("classifier", budget="20min"), data=bars, run=tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("elapsed", "rest"),
    [(100.0, "100 s so far: this command ends in about "), (1800.0, "30.0 min so far: the run ends now; a longer --budget prolongs it")],
)
def test_a_continued_run_says_what_its_budget_counts_and_what_is_left(elapsed, rest, tiny, bars, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_measured", lambda *arguments: Costs(image=1e-3))
    settings, listener = tiny("classifier", budget="10min"), Notes()
    fit(settings, data=bars, run=tmp_path, device="cpu", watch=Stop())
    path = tmp_path / "state" / "state.safetensors"
    tensors, info = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**info, "elapsed": elapsed})
    fit(settings, data=bars, run=tmp_path, device="cpu", watch=listener)
    assert listener.notes[0].startswith(f"the budget of 10min is for the whole run, which has taken {rest}")
    assert (len(listener.notes) == 1) == (elapsed < 600), "it is said that the budget is used up"


class Notes(Stop):
    """Notes what is said."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Minutes:
    """A clock that stands still unless it is set."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """A step takes a second, all else nothing."""
    clock, step = Minutes(), Trainee.step

    def slow(self, seen):
        clock.now += 1.0
        return step(self, seen)

    monkeypatch.setattr(Trainee, "step", slow)
    for module in (plan, log, loop, request):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_longer_budget_either_trains_on_or_is_refused_and_says_one_of_the_two(clock, tiny, bars, tmp_path):
    settings = tiny("classifier", budget="30s", sample_every=10**6, save_every=10**6)
    first = fit(settings, data=bars, run=tmp_path, device="cpu").card.images_seen
    assert 25 <= clock.now <= 30
    before, listener = content(tmp_path), Listener()
    with pytest.raises(CheckpointError, match=r"budget = 35s, and the run in .* has taken 3\d s already; give it more"):
        fit(dataclasses.replace(settings, budget="35s"), data=bars, run=tmp_path, device="cpu", watch=listener, began=clock.now - 6)
    assert listener.notes == []
    assert content(tmp_path) == before
    longer = dataclasses.replace(settings, budget="40s")
    model = fit(longer, data=bars, run=tmp_path, device="cpu", watch=listener, began=clock.now - 6)
    assert model.card.images_seen > first
    assert [note.split()[0] for note in listener.notes] == ["the", "prolonged"]
    assert re.fullmatch(r"the budget of 40s is for the whole run, which has taken \d\d s so far: .* in about \d s", listener.notes[0])
    listener = Listener()
    assert fit(settings, data=bars, run=tmp_path, device="cpu", watch=listener).card.images_seen == model.card.images_seen
    assert listener.notes == [f"the run in {tmp_path} is complete, and with a budget of 40s longer than the 30s asked for"]
