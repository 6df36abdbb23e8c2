"""Laws for every objective in the folder, with every network that fills the role it asks for."""

from typing import get_type_hints

import pytest
import torch

from sfumato.models import MODELS
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.resample import shrink
from sfumato.objectives import OBJECTIVES
from sfumato.objectives.base import Batch
from sfumato.train.optim import optimizers
from sfumato.train.settings import TrainSettings


def network(name):
    return get_type_hints(MODELS[name].build)["return"]


def wanted(name):
    """The role that the objective called `name` trains."""
    return get_type_hints(OBJECTIVES[name].phases)["model"]


def narrowed(name):
    """The roles, inside that which the objective called `name` trains, that have objectives of their own."""
    roles = tuple(wanted(other) for other in OBJECTIVES)
    return tuple(role for role in roles if role is not wanted(name) and issubclass(role, wanted(name)))


def trainable(name, family):
    """Whether the objective called `name` trains the networks of `family`; what two runs train is refused."""
    kind = network(family)
    return issubclass(kind, wanted(name)) and not issubclass(kind, narrowed(name)) and not getattr(kind, "has_grey_path", False)


PAIRS = [(o, m) for o in OBJECTIVES for m in MODELS if trainable(o, m)]

pytestmark = pytest.mark.parametrize(("objective", "family"), PAIRS, ids=["-".join(pair) for pair in PAIRS])


@pytest.fixture
def settings(objective, family, small):
    return TrainSettings(model=small(family, (16, 16), 1, 2), objective=OBJECTIVES[objective]())


@pytest.fixture
def model(settings):
    torch.manual_seed(0)
    return settings.model.build().train()


@pytest.fixture
def batch(photos, model):
    """A fresh batch at every call: the same images, the same numbers to draw."""

    def make():
        grey, labels = photos.mean(1, keepdim=True), torch.arange(8) % 2
        clean = photos if model.channels == 3 else grey
        degraded = shrink(clean, model.scale) if isinstance(model, Restorer) else clean
        return Batch(clean=clean, degraded=degraded, labels=labels, rng=torch.Generator().manual_seed(1), images_seen=0, progress=0.0)

    return make


def test_phases_are_equal_or_disjoint_and_have_names_of_their_own(settings, model):
    phases = settings.objective.phases(model)
    assert len({phase.name for phase in phases}) == len(phases) > 0
    assert optimizers(phases, settings).keys() == {phase.name for phase in phases}


def test_phases_cover_the_network(settings, model):
    moved = {id(w) for phase in settings.objective.phases(model) for w in phase.weights}
    assert [name for name, w in model.named_parameters() if id(w) not in moved] == [], "nobody trains these"


def test_every_weight_gets_a_gradient(settings, model, batch):
    for phase in settings.objective.phases(model):
        phase.loss(batch())["total"].backward()
    assert [name for name, w in model.named_parameters() if w.grad is None] == [], "these are not part of any loss"


def test_figures_are_finite_scalars_with_a_total_that_can_be_differentiated(settings, model, batch):
    for phase in settings.objective.phases(model):
        losses = phase.loss(batch())
        assert losses["total"].requires_grad, phase.name
        for name, value in losses.items():
            assert value.shape == (), f"{phase.name}/{name}"
            assert torch.isfinite(value), f"{phase.name}/{name}"


def test_a_step_moves_its_phase_alone_and_lowers_its_loss(settings, model, batch):
    for i, phase in enumerate(settings.objective.phases(model)):
        model.requires_grad_(False).zero_grad()
        for weight in phase.weights:
            weight.requires_grad_(True)
        before = phase.loss(batch())["total"]
        before.backward()
        old = {name: w.detach().clone() for name, w in model.named_parameters()}
        with torch.no_grad():
            length = torch.stack([w.grad.norm() for w in phase.weights if w.grad is not None]).norm()
            if length == 0:  # the batch misses no pixel, and networks that fill holes change no other
                assert "observed" in model.conditioning
                continue
            for weight in phase.weights:
                if weight.grad is not None:
                    weight -= 1e-3 * weight.grad / length
        mine = set(map(id, phase.weights))
        others = {name: w for name, w in model.named_parameters() if id(w) not in mine}
        strangers = [name for name, w in others.items() if w.grad is not None or not torch.equal(w, old[name])]
        assert strangers == [], f"phase {phase.name} reached for the weights of another"
        after = settings.objective.phases(model)[i].loss(batch())["total"]
        assert after < before, f"a short step along minus its gradient must lower the loss of {phase.name}"


def test_the_same_numbers_give_the_same_loss(settings, model, batch):
    first, again = ([phase.loss(batch())["total"].item() for phase in settings.objective.phases(model)] for _ in range(2))
    assert first == again


def test_held_out_figures_are_finite_and_leave_no_trace(settings, model, batch):
    assert settings.objective.validates or not isinstance(model, Classifier), "a classifier's objective measures held-out images"
    for name, value in settings.objective.validate(model.eval(), batch()).items():
        assert torch.isfinite(value), name
        assert not value.requires_grad, name
