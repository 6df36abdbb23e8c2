"""The controller of adaptive augmentation: where it goes, how fast, and what it listens to."""

import dataclasses

import pytest
import torch

from sfumato.data.adaptive import Config as Adaptive
from sfumato.models import dcgan
from sfumato.objectives import adversarial
from sfumato.objectives._controller import MOST, Controller
from sfumato.objectives.adversarial import signs
from sfumato.objectives.base import Batch


def follow(controller, certainty, *, steps, images=100):
    """The probability after each of `steps` batches, in which the discriminator is as sure as `certainty` says for the probability."""
    path = []
    for _ in range(steps):
        controller.steer(images)
        p = controller.probability.item()
        controller.note(torch.tensor([certainty(p)] * 4))
        path.append(p)
    return path


def test_it_settles_where_the_discriminator_is_as_sure_as_asked_for():
    path = follow(Controller(Adaptive(target=0.6, over=20_000), penalised=True), lambda p: 0.9 - 0.8 * p, steps=600)
    assert path[0] == 0
    assert all(abs(p - 0.375) <= 2 * 100 * 4 / 20_000 for p in path[200:])


def test_it_rises_as_fast_as_asked_for_and_no_further_than_is_good():
    path = follow(Controller(Adaptive(target=0.6, over=50_000, every=2), penalised=True), lambda p: 1.0, steps=700)
    assert path[250] == pytest.approx(0.5, abs=0.005), "half the way after half of the images"
    assert path[-1] == pytest.approx(MOST)
    assert all(b == a for a, b in zip(path[2::2], path[3::2], strict=False)), "it moves on every second step"


def test_it_falls_to_zero_and_no_lower():
    path = follow(Controller(Adaptive(target=0.6, probability=0.3, over=10_000), penalised=True), lambda p: 0.0, steps=100)
    assert path[0] == pytest.approx(0.3)
    assert path[-1] == 0


def test_without_a_target_the_probability_stays():
    path = follow(Controller(Adaptive(probability=0.3), penalised=True), lambda p: 1.0, steps=50)
    assert set(path) == {torch.tensor(0.3).item()}


def test_the_dials_are_those_that_have_an_effect():
    assert Controller(Adaptive(), penalised=False).dials.keys() == set()
    assert Controller(Adaptive(target=0.6), penalised=True).dials.keys() == {"gamma", "target"}
    assert Controller(Adaptive(probability=0.2), penalised=True).dials.keys() == {"gamma", "probability"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("non-saturating", [-1.0, 1.0, 1.0]),
        ("hinge", [-1.0, 1.0, 1.0]),
        ("least-squares", [-1.0, -1.0, 1.0]),
        ("relativistic", [-1.0, -1.0, 1.0]),
        ("wasserstein", [-1.0, -1.0, 1.0]),
    ],
)
def test_a_real_image_is_taken_for_real_beyond_the_border_or_beside_a_generated_one(kind, expected):
    real, fake = torch.tensor([-0.2, 0.3, 2.0]), torch.tensor([0.1, 0.4, -3.0])
    assert signs(kind, real, fake).tolist() == expected


@pytest.fixture
def model():
    torch.manual_seed(0)
    return dcgan.Config(size=(8, 8), channels=3, classes=0, latent_dim=4, width=4, discriminator_width=4).build()


def batch(seen=0, part=0, parts=1):
    clean = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    mine = clean[part * 8 // parts : (part + 1) * 8 // parts]
    rng = torch.Generator().manual_seed(2)
    return Batch(clean=mine, degraded=mine, labels=None, rng=rng, images_seen=seen, progress=0.0, part=part, parts=parts)


def test_gradients_and_penalties_go_through_the_changes(model):
    config = adversarial.Config(adaptive=Adaptive(probability=0.7, cutout=1.0), penalty_every=1)
    for phase in config.phases(model):
        phase.loss(batch())["total"].backward()
        assert all(torch.isfinite(w.grad).all() for w in phase.weights if w.grad is not None), phase.name
        assert any(w.grad.abs().sum() > 0 for w in phase.weights if w.grad is not None), phase.name


def test_the_discriminator_phase_remembers_and_tells(model):
    config = adversarial.Config(adaptive=Adaptive(target=0.6, every=1, over=80))
    phases = {phase.name: phase for phase in config.phases(model)}
    memory = phases["discriminator"].memory
    assert [phase.name for phase in phases.values() if phase.memory is not None] == ["discriminator"]
    told = [phases["discriminator"].loss(batch(seen)) for seen in (0, 8)]
    assert told[0]["probability"] == 0
    direction = torch.sign(told[0]["certainty"] - 0.6)
    assert told[1]["probability"].item() == pytest.approx(max(0.0, 0.1 * direction.item()))
    assert memory.certainty == told[1]["certainty"]
    assert all(buffer.dtype == torch.float32 for buffer in memory.buffers())


def test_gamma_is_a_factor_on_the_penalty(model):
    phases = {phase.name: phase for phase in adversarial.Config().phases(model)}
    before = phases["penalty"].loss(batch())["total"].item()
    phases["discriminator"].memory.gamma.fill_(4.0)
    assert phases["penalty"].loss(batch())["total"].item() == pytest.approx(4 * before, rel=1e-5)


def test_parts_of_a_batch_remember_together_what_the_whole_would(model):
    config = adversarial.Config(adaptive=Adaptive(target=0.6, probability=0.5))
    config = dataclasses.replace(config, loss="non-saturating")
    model.discriminator.deviation = torch.nn.Identity()
    model.discriminator.head = model.discriminator.head[2:]
    sums = []
    for part, parts in ((0, 1), (0, 2), (1, 2)):
        phase = config.phases(model)[1]
        phase.loss(batch(part=part, parts=parts))
        sums.append(phase.memory.certainty.item())
    assert sums[0] == pytest.approx((sums[1] + sums[2]) / 2)
