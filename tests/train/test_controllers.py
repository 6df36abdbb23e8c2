"""What steers a run goes on with it: stopped anywhere, it ends with the same weights, probabilities and doses."""

import dataclasses
import json
import signal

import pytest
import torch

from sfumato.core.errors import DivergenceError
from sfumato.data.adaptive import Config as Adaptive
from sfumato.models import stylegan
from sfumato.objectives import adversarial
from sfumato.store import checkpoint
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.step import Trainee

pytestmark = pytest.mark.usefixtures("unchecked")


class Stop(Callback):
    """Interrupts the run once, at the first line of its log past `images`."""

    def __init__(self, images):
        self.images = images

    def row(self, row, settings):
        if row["images"] >= self.images:
            self.images = float("inf")
            signal.raise_signal(signal.SIGINT)


def state(run):
    return checkpoint.read_tensors(run / "state" / "state.safetensors")[0]


def same_state(one, other):
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == [], "not bit for bit the same"


@pytest.fixture
def adaptive(tiny):
    """A tiny GAN with adaptive augmentation that moves fast."""
    settings = tiny("gan")
    objective = dataclasses.replace(settings.objective, adaptive=Adaptive(target=0.1, probability=0.4, every=3, over=300, cutout=1.0))
    return dataclasses.replace(settings, objective=objective)


def test_adaptive_augmentation_goes_on_where_it_stopped(adaptive, bars, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    fit(adaptive, data=bars, run=straight, device="cpu")
    for images in (32, 96):
        assert fit(adaptive, data=bars, run=stopped, device="cpu", watch=Stop(images)).interrupted
    fit(adaptive, data=bars, run=stopped, device="cpu")
    same_state(straight, stopped)
    assert state(straight)["memory.discriminator.probability"] != torch.tensor(0.4), "it moved"


def test_what_is_remembered_is_averaged_over_processes(adaptive, bars, monkeypatch):
    from sfumato.train.distributed import World
    from sfumato.train.settings import resolve

    averaged = []
    monkeypatch.setattr(World, "average", lambda self, tensors: averaged.append({id(t) for t in tensors}))
    trainee = Trainee(resolve(adaptive, bars), bars, World(), torch.device("cpu"))
    trainee.step(0)
    assert {id(t) for t in trainee.memories["discriminator"].buffers()} in averaged


def test_a_state_of_an_earlier_release_is_taken_by_its_names(adaptive, bars):
    from sfumato.train.distributed import World
    from sfumato.train.settings import resolve

    trainee = Trainee(resolve(adaptive, bars), bars, World(), torch.device("cpu"))
    state = trainee.tensors()
    state["memory.discriminator.known"] = torch.full_like(state.pop("memory.discriminator.class_information"), 0.75)
    trainee.restore(state)
    assert trainee.memories["discriminator"].class_information.item() == 0.75


@pytest.fixture
def cared_for(adaptive):
    """The same, in the hands of a doctor who may act, at every line of a log of few images."""
    return dataclasses.replace(adaptive, doctor="act", images=320, log_every=16, save_every=48, sample_every=160)


@pytest.fixture
def told_apart(monkeypatch):
    """Makes the log say that the discriminator tells so many apart."""
    return lambda share: monkeypatch.setattr(adversarial, "told_apart", lambda real, fake: torch.tensor(share))


def notes(run):
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(row["images"], row["note"]) for row in rows if "note" in row]


def test_doses_and_all_that_the_doctor_knows_go_on_where_they_stopped(cared_for, bars, tmp_path, told_apart, monkeypatch):
    told_apart(0.99)
    monkeypatch.setattr("sfumato.train.recovery.health", lambda trainee: {})  # no pulse: so small a network makes copies
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    fit(cared_for, data=bars, run=straight, device="cpu")
    for images in (32, 100):
        assert fit(cared_for, data=bars, run=stopped, device="cpu", watch=Stop(images)).interrupted
    fit(cared_for, data=bars, run=stopped, device="cpu")
    same_state(straight, stopped)
    assert state(straight)["memory.discriminator.gamma"] == 64, "a dose every three lines"
    assert state(straight)["memory.discriminator.target"] == pytest.approx(0.1), "set lower than the doctor would, and left there"
    said = [text for _, text in notes(straight)]
    assert any("overpowered: gamma from 1 to 2" in text for text in said)
    assert notes(straight) == notes(stopped)


@pytest.fixture
def poisoned(monkeypatch):
    """A step that diverges once, at 120 images, in whatever process."""
    healthy = Trainee._descend

    def descend(self, phase, batch, seen):
        if seen == 120 and self.pace == 1.0:
            raise DivergenceError("phase 'generator' is no longer finite after 120 images")
        return healthy(self, phase, batch, seen)

    monkeypatch.setattr(Trainee, "_descend", descend)


@pytest.mark.usefixtures("poisoned")
def test_a_step_that_diverges_sends_the_run_back_and_resume_is_still_exact(cared_for, bars, tmp_path):
    """Stopped between the good state and there, and after."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    cared_for = dataclasses.replace(cared_for, images=208)
    fit(cared_for, data=bars, run=straight, device="cpu")
    for images in (112, 176):
        assert fit(cared_for, data=bars, run=stopped, device="cpu", watch=Stop(images)).interrupted
    model = fit(cared_for, data=bars, run=stopped, device="cpu")
    assert model.card.images_seen == 208
    same_state(straight, stopped)
    ((good, said),) = [(images, text) for images, text in notes(straight) if "images back" in text]
    assert good in (48, 96), "the last state in which it was well"
    assert said.endswith(f"back to the last good state and its settings, with 0.5 of the step, {120 - good} images back")


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("older", [False, True])
def test_a_doctor_who_watched_may_act_after_a_stop(cared_for, bars, tmp_path, older):
    """And go back to the state of that stop, also where a state without a fault of before lies in the folder."""
    run, watching = tmp_path / "run", dataclasses.replace(cared_for, images=208, doctor="watch")
    acting = dataclasses.replace(watching, doctor="act")
    if not older:
        fit(acting, data=bars, run=run, device="cpu", watch=Stop(64))
    fit(watching, data=bars, run=run, device="cpu", watch=Stop(96))
    tensors, info = checkpoint.read_tensors(run / "state/state.safetensors")
    if older:
        checkpoint.write_tensors(run / "state/state.safetensors", tensors, {**info, "well": 0})
    model = fit(acting, data=bars, run=run, device="cpu")
    assert model.card.images_seen == 208
    ((good, _),) = [(images, text) for images, text in notes(run) if "images back" in text]
    assert good == info["seen"] < 120


class Die(Callback):
    """Ends the run as a loss of power would: without a last save."""

    def __init__(self, images):
        self.images = images

    def row(self, row, settings):
        if row["images"] >= self.images:
            raise KeyError("no power")


@pytest.mark.usefixtures("poisoned")
def test_killed_right_after_a_save_it_comes_back_to_the_same_good_state(cared_for, bars, tmp_path):
    """The state that was read is the good state too; what goes on must not write into it."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    fit(cared_for, data=bars, run=straight, device="cpu")
    with pytest.raises(KeyError, match="no power"):
        fit(cared_for, data=bars, run=killed, device="cpu", watch=Die(112))
    fit(cared_for, data=bars, run=killed, device="cpu")
    same_state(straight, killed)


@pytest.fixture
def styled(cared_for):
    """A tiny generator with styles, and all at once that steers its training: ADA, the doctor, path lengths, mixing."""
    objective = dataclasses.replace(cared_for.objective, mixing=0.9, path=2.0, path_every=2)
    model = stylegan.Config(latent_dim=4, style_dim=4, mapping=2, width=4, discriminator_width=4, max_width=8, group=2)
    return dataclasses.replace(cared_for, model=model, objective=objective, images=160)


def test_with_all_that_steers_a_generator_with_styles_it_goes_on_exactly_seven_times_of_seven(styled, bars, told_apart, tmp_path):
    """Stopped at its first line, at a save and right after, between two and near its end: what one resumption lost would stay lost."""
    told_apart(0.99)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    fit(styled, data=bars, run=straight, device="cpu")
    for images in (16, 48, 49, 80, 96, 112, 144):
        assert fit(styled, data=bars, run=stopped, device="cpu", watch=Stop(images)).interrupted
    fit(styled, data=bars, run=stopped, device="cpu")
    same_state(straight, stopped)
    assert notes(straight) == notes(stopped)
    ended = state(straight)
    assert ended["memory.path.mean"] > 0
    assert ended["memory.discriminator.gamma"] > 1, "the doctor acted"
    assert ended["memory.discriminator.probability"] != 0.4, "so did the controller"


def test_without_leave_to_act_a_divergence_ends_the_run(cared_for, bars, monkeypatch, told_apart):
    told_apart(0.99)
    trainees = []
    monkeypatch.setattr(Trainee, "__init__", lambda self, *a, _init=Trainee.__init__, **k: (trainees.append(self), _init(self, *a, **k))[1])
    fit(dataclasses.replace(cared_for, doctor="watch"), data=bars, device="cpu")
    assert trainees[0].memories["discriminator"].gamma == 1
    monkeypatch.setattr(adversarial, "generator_loss", lambda kind, fake, real: fake.sum() * float("nan"))
    with pytest.raises(DivergenceError, match="no longer finite"):
        fit(dataclasses.replace(cared_for, doctor="watch"), data=bars, device="cpu")
    with pytest.raises(DivergenceError, match="stopped, having gone back 4 times: phase 'generator' is no longer finite"):
        fit(cared_for, data=bars, device="cpu")


def test_what_is_said_of_a_return_stays_in_the_log_and_its_time_on_the_clock(cared_for, bars, tmp_path, monkeypatch):
    """Interrupted before it is again where it was: a run that goes on forgets the lines past its state."""
    step, left = Trainee.step, [1]

    def diverging(self, seen):
        if seen == 72 and left:
            left.clear()
            signal.raise_signal(signal.SIGINT)
            raise DivergenceError("made up")
        return step(self, seen)

    monkeypatch.setattr(Trainee, "step", diverging)
    cared_for = dataclasses.replace(cared_for, sample_every=10_000)
    assert fit(cared_for, data=bars, run=tmp_path, device="cpu").interrupted
    assert checkpoint.read_tensors(tmp_path / "state" / "state.safetensors")[1]["elapsed"] > 0
    fit(cared_for, data=bars, run=tmp_path, device="cpu")
    assert [(images, text[:15]) for images, text in notes(tmp_path) if "made up" in text] == [(48, "doctor: made up")]
