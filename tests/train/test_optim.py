"""Movers, the step size, and the average over weights, against formulas written down again."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.objectives.base import Phase
from sfumato.train.optim import Average, PhaseOptimizer, learning_rate, optimizers


@pytest.fixture
def settings(tiny):
    return dataclasses.replace(tiny("classifier"), images=1000, batch=10, lr=0.5, lr_warmup=0)


def test_the_step_size_falls_along_a_cosine(settings):
    fall = dataclasses.replace(settings, lr_end=0.2)
    assert [learning_rate(fall, seen) for seen in (0, 500, 1000)] == pytest.approx([0.5, 0.3, 0.1])
    assert learning_rate(fall, 2000) == pytest.approx(0.1), "and stays there"


def test_the_step_size_rises_linearly_and_counts_the_batch_under_way(settings):
    rise = dataclasses.replace(settings, lr_end=1.0, lr_warmup=40)
    assert [learning_rate(rise, seen) for seen in (0, 10, 30, 40, 990)] == pytest.approx([0.125, 0.25, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_mover_is_adamw_and_decays_matrices_alone(decay, settings):
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    weight, bias = (w.detach().clone() for w in (net.weight, net.bias))
    mover = PhaseOptimizer("x", list(net.parameters()), dataclasses.replace(settings, weight_decay=decay, beta1=0.0, beta2=0.5))
    net(torch.ones(1, 3)).sum().backward()
    mover.step(0.01)
    torch.testing.assert_close(net.weight, weight * (1 - 0.01 * decay) - 0.01)
    torch.testing.assert_close(net.bias, bias - 0.01)


def test_a_mover_goes_down_at_the_rate_of_the_step(settings):
    net = nn.Linear(1, 1)
    before = net.weight.item()
    net.weight.grad = torch.ones(1, 1)
    PhaseOptimizer("x", [net.weight], settings).step(0.0)
    assert net.weight.item() == before


def test_long_gradients_are_cut_to_the_clip(settings):
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    PhaseOptimizer("x", [weight], dataclasses.replace(settings, clip=1.0)).step(0.1)
    torch.testing.assert_close(weight.grad, torch.tensor([[0.6, 0.0], [0.0, 0.8]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("optimiser", "layout"), [("adam", torch.contiguous_format), ("adam", torch.channels_last), ("muon", torch.channels_last)]
)
def test_a_mover_remembers_across_a_file_in_either_order_of_bytes(optimiser, layout, settings):
    settings = dataclasses.replace(settings, optimiser=optimiser)

    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(4, 32, 3), nn.Conv2d(32, 2, 3)).to(memory_format=layout)

    def train(net, mover, steps):
        for i in steps:
            net.zero_grad()
            net(torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(i))).square().sum().backward()
            mover.step(0.01)

    straight, stopped = network(), network()
    train(straight, PhaseOptimizer("x", list(straight.parameters()), settings), range(6))
    first = PhaseOptimizer("x", list(stopped.parameters()), settings)
    train(stopped, first, range(3))
    kept = {name: t.clone(memory_format=torch.contiguous_format) for name, t in first.tensors().items()}
    second = PhaseOptimizer("x", list(stopped.parameters()), settings)
    second.restore(kept)
    train(stopped, second, range(3, 6))
    for one, other in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_muon_moves_wide_kernels_by_steps_as_long_as_adams_and_alike_in_every_direction(settings):
    torch.manual_seed(0)
    wide = nn.Conv2d(32, 48, 3).to(memory_format=torch.channels_last)
    before = wide.weight.detach().clone()
    mover = PhaseOptimizer("x", [wide.weight], dataclasses.replace(settings, optimiser="muon"))
    # One direction has nearly all of the gradient, and gets no more of the step than others.
    lengths = torch.logspace(2, 0, 48)
    rows, columns = torch.linalg.qr(torch.randn(48, 48))[0], torch.linalg.qr(torch.randn(288, 48))[0]
    wide.weight.grad = (rows @ torch.diag(lengths) @ columns.T).reshape(48, 32, 3, 3)
    mover.step(0.01)
    moved = (before - wide.weight.detach()).flatten(1)
    found = torch.linalg.svdvals(moved) / (0.01 * 0.2 * math.sqrt(288))
    assert found.min() > 0.5
    assert found.max() < 1.3
    assert (rows.T @ moved @ columns).diagonal().min() > 0, "and each goes down"
    assert moved.square().mean().sqrt() == pytest.approx(0.01 * 0.2, rel=0.6), "Adam's own steps are 0.2 to 0.4 of lr"


def test_with_muon_narrow_kernels_and_biases_are_still_adams(settings):
    def stepped(optimiser):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 64, 3), nn.Conv2d(64, 4, 3), nn.Linear(31, 40)).to(memory_format=torch.channels_last)
        for weight in net.parameters():
            weight.grad = torch.randn_like(weight)
        PhaseOptimizer("x", list(net.parameters()), dataclasses.replace(settings, optimiser=optimiser)).step(0.01)
        return list(net.parameters())

    assert all(torch.equal(one, other) for one, other in zip(stepped("adam"), stepped("muon"), strict=True))


def test_movers_take_back_their_own_memory_alone(settings):
    one, other = (PhaseOptimizer(name, [nn.Parameter(torch.zeros(2, 2))], settings) for name in ("one", "other"))
    for mover, gradient in ((one, 1.0), (other, 2.0)):
        mover.weights[0].grad = torch.full((2, 2), gradient)
        mover.step(0.1)
    both = {**one.tensors(), **other.tensors()}
    one.restore(both)
    assert {name: t.tolist() for name, t in one.tensors().items()} == {n: t.tolist() for n, t in both.items() if n.startswith("one.")}


def phase(name, *weights):
    return Phase(name=name, weights=list(weights), loss=lambda batch: {})


def test_phases_over_the_same_weights_share_a_mover(settings):
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    found = optimizers([phase("one", a), phase("two", b), phase("again", a)], settings)
    assert found["one"] is found["again"] is not found["two"]


def test_phases_that_overlap_or_move_nothing_are_refused(settings):
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    with pytest.raises(SettingError, match="phase 'two' shares some of its weights"):
        optimizers([phase("one", a, b), phase("two", b)], settings)
    with pytest.raises(SettingError, match="phase 'idle' moves no weights"):
        optimizers([phase("idle")], settings)


def follow(settings, count, start=0):
    """The average of a weight that jumps from 0 to 1, after `count` batches."""
    net = nn.Linear(1, 1)
    nn.init.zeros_(net.weight)
    average = Average(net, settings)
    nn.init.ones_(net.weight)
    for i in range(count):
        average.follow(net, start + 10 * i)
    return average.model.weight.item()


def test_the_average_forgets_half_in_its_half_life(settings):
    assert follow(dataclasses.replace(settings, ema=100, ema_rampup=0.0), 10) == pytest.approx(0.5)
    assert follow(dataclasses.replace(settings, ema=100, ema_rampup=0.0), 30) == pytest.approx(0.875)


def test_the_half_life_is_never_more_than_a_share_of_what_was_seen(settings):
    ramped = dataclasses.replace(settings, ema=10**9, ema_rampup=0.1)
    assert follow(ramped, 1) == 1.0, "at first the average is the weights"
    assert follow(ramped, 1, start=1000) == pytest.approx(1 - 0.5 ** (10 / 100))


def test_without_an_average_it_is_the_weights(settings):
    assert follow(dataclasses.replace(settings, ema=0), 1, start=10**6) == 1.0


def test_the_average_copies_what_is_no_weight(settings):
    net = nn.BatchNorm2d(2)
    average = Average(net, dataclasses.replace(settings, ema=10**6, ema_rampup=0.0))
    net(torch.randn(4, 2, 3, 3))
    average.follow(net, 10)
    assert torch.equal(average.model.running_mean, net.running_mean)
    assert average.model.num_batches_tracked.item() == 1
    assert not average.model.training
    assert math.isclose(average.model.weight.sum().item(), 2.0)
