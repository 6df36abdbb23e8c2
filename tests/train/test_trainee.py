"""One step of a network in training, and what moves its weights."""

import dataclasses

import pytest
import torch
from torch import nn

from sfumato.core.errors import DivergenceError
from sfumato.train.distributed import World
from sfumato.train.optim import PhaseOptimizer
from sfumato.train.schedule import Change
from sfumato.train.settings import resolve
from sfumato.train.step import Trainee


def test_muon_moves_matrices_with_at_least_32_rows_and_columns(tiny):
    shapes = [(32, 32), (31, 64), (64, 31), (32, 8, 2, 2), (32, 7, 2, 2), (32, 32, 3), (40,)]
    tensors = [torch.ones(shape) for shape in shapes]
    weights = [nn.Parameter(t.to(memory_format=torch.channels_last) if t.ndim == 4 else t) for t in tensors]
    mover = PhaseOptimizer("x", weights, tiny("gan", optimiser="muon", weight_decay=0.0))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    mover.step(0.01)
    moved = [name for name in mover.tensors() if name.startswith("x.muon.")]
    assert len(moved) == 2
    assert all((weight != 1).any() for weight in weights)


@pytest.fixture
def trainee(tiny, bars):
    return Trainee(resolve(tiny("classifier"), bars), bars, World(), torch.device("cpu"))


def test_a_trainee_comes_back_from_its_tensors_and_goes_on_alike(trainee, tiny, bars):
    first = trainee.step(0)
    assert all(name.split("/")[0] in {phase.name for phase in trainee.phases} for name in first)
    kept = {name: value.clone() for name, value in trainee.tensors().items()}
    trainee.step(8)
    after = trainee.tensors()
    other = Trainee(trainee.settings, bars, World(), torch.device("cpu"), fresh=False)
    other.restore(kept)
    other.step(8)
    assert all(torch.equal(value, after[name]) for name, value in other.tensors().items())
    assert any(not torch.equal(value, kept[name]) for name, value in after.items())


def test_a_trainee_follows_another_plan(trainee):
    trainee.follow(Change(**{dataclasses.fields(Change)[0].name: 80}, images=400, before=160, seconds=1.0, reason="faster"))
    assert trainee.settings.images == trainee.schedule.images == 400


def test_a_step_with_a_loss_that_is_not_finite_moves_nothing(trainee):
    before = {name: value.clone() for name, value in trainee.model.named_parameters()}
    with torch.no_grad():
        next(trainee.model.parameters()).fill_(torch.nan)
    broken = {name: value.clone() for name, value in trainee.model.named_parameters()}
    with pytest.raises(DivergenceError, match="is no longer finite after 24 images"):
        trainee.step(24)
    now = dict(trainee.model.named_parameters())
    assert all(torch.equal(now[name].nan_to_num(7), value.nan_to_num(7)) for name, value in broken.items())
    assert before.keys() == now.keys()
