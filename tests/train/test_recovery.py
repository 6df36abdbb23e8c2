"""The way back: what is kept of a run that is well, and what the doctor says before."""

import pytest
import torch

from sfumato.core.errors import CheckpointError, DivergenceError
from sfumato.train import recovery as recovery_module
from sfumato.train.distributed import World
from sfumato.train.doctor import PATIENCE, Doctor
from sfumato.train.recovery import Recovery
from sfumato.train.schedule import Schedule
from sfumato.train.step import Trainee


def test_a_state_of_an_earlier_release_knows_no_variety_yet():
    doctor, other = Doctor(), Doctor()
    state = doctor.state()
    del state["widest"], state["pulses"]
    other.restore(state)
    assert other.state() == doctor.state()


@pytest.mark.parametrize("told_apart", [0.96, 0.98])
@pytest.mark.parametrize("certainty", [0.96, 0.98])
def test_a_discriminator_has_won_if_one_of_two_measures_says_so(told_apart, certainty):
    row, doctor = {"discriminator/told_apart": told_apart, "discriminator/certainty": certainty}, Doctor()
    sentences = [sentence for _ in range(PATIENCE) for sentence in doctor.look(row)]
    assert len(sentences) == (max(told_apart, certainty) > 0.97)


def test_a_collapse_goes_back_after_two_doses_of_no_avail():
    doctor = Doctor(acts=True)
    back = []
    for _ in range(4 * PATIENCE):
        doctor.figures.add({"generator/diversity": torch.tensor(0.1)})
        back.append(doctor.visit({}, World())[1])
        if back[-1]:
            break
    assert back == [False] * (3 * PATIENCE - 1) + [True]
    assert (doctor.pace, doctor.returns) == (0.5, 1)


class Sick(Trainee):
    """A trainee with one weight."""

    def __init__(self, settings):
        self.settings, self.schedule, self.world, self.device = settings, Schedule(settings.images), World(), torch.device("cpu")
        self.weight, self.pace, self.memories, self.error = torch.zeros(1), 1.0, {}, None

    def step(self, images_seen):
        if self.error is not None:
            raise self.error
        self.weight = self.weight + 1
        return {"loss": self.weight[0]}

    def tensors(self):
        return {"weight": self.weight}

    def restore(self, tensors):
        self.weight = tensors["weight"]


@pytest.fixture(params=["act", "watch"])
def recovery(request, tiny):
    return Recovery(Sick(tiny("gan", doctor=request.param)))


def test_a_run_goes_back_to_the_weights_that_were_kept(recovery):
    acts = recovery.doctor.acts
    recovery.step(0)
    recovery.keep(8)
    recovery.step(8)
    recovery.trainee.error = DivergenceError("no longer finite")
    if not acts:
        with pytest.raises(DivergenceError, match="no longer finite"):
            recovery.step(16)
        return
    assert recovery.step(16) == {}
    assert recovery.sent_back
    assert "no longer finite" in recovery.why
    assert recovery.go_back() == 8
    assert not recovery.sent_back
    assert recovery.trainee.weight.item() == 1
    assert recovery.trainee.pace == 0.5


def test_while_a_run_is_ill_nothing_is_kept(recovery):
    recovery.step(0)
    recovery.keep(8)
    recovery.doctor.restore({**recovery.doctor.state(), "said": ["collapse"]})
    recovery.step(8)
    recovery.keep(16)
    if recovery.doctor.acts:
        assert recovery.go_back() == 8
        assert recovery.trainee.weight.item() == 1


def test_the_state_to_go_back_to_is_a_file_of_its_own_if_it_is_another(recovery, tmp_path):
    path, acts = tmp_path / "well.safetensors", recovery.doctor.acts
    recovery.step(0)
    recovery.keep(8)
    assert recovery.save(8, path)["well"] == 8
    assert not path.exists(), "it is the state itself"
    recovery.step(8)
    info = {"seen": 16, **recovery.save(16, path)}
    assert path.exists() == acts
    again = Recovery(Sick(recovery.trainee.settings))
    again.load(info, {"weight": torch.full((1,), 2.0)}, path)
    if acts:
        assert again.go_back() == 8
        assert again.trainee.weight.item() == 1
        recovery.step(16)
        recovery.keep(24)
        recovery.save(32, path)
        with pytest.raises(CheckpointError, match="is of 24 images, not of 8"):
            again.load(info, {"weight": torch.zeros(1)}, path)


def test_the_doctor_hears_the_figures_of_generated_images(recovery, monkeypatch):
    monkeypatch.setattr(recovery_module, "health", lambda trainee: {"pulse/grid": torch.tensor(1.5)})
    assert recovery.look()["pulse/grid"].item() == 1.5
    assert recovery.doctor.figures.take(World()) == {"pulse/grid": 1.5}
