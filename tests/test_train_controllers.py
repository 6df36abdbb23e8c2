"""What steers a run goes on with it: stopped anywhere, it ends with the same weights, probabilities and doses."""

import dataclasses
import signal

import pytest
import torch

from sfumato.data.adaptive import Config as Adaptive
from sfumato.store import checkpoint
from sfumato.train.log import Watch
from sfumato.train.loop import fit
from sfumato.train.step import Trainee


class Stop(Watch):
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
