"""Adversarial objectives, against formulas written down again in float64 and against networks whose slope is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.data import augment
from sfumato.data.adaptive import Config as Adaptive
from sfumato.models import MODELS
from sfumato.models.roles.style_generator import AdversarialGenerator, DiscriminatorOutput
from sfumato.objectives._controller import Controller
from sfumato.objectives.adversarial import Config, discriminator_loss, generator_loss
from sfumato.objectives.base import Batch


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


DISCRIMINATOR = {
    "non-saturating": lambda real, fake: -(log_sigmoid(real) + np.log(1 - 1 / (1 + np.exp(-fake)))).mean(),
    "least-squares": lambda real, fake: 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(),
    "hinge": lambda real, fake: np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean(),
    "wasserstein": lambda real, fake: fake.mean() - real.mean(),
    "relativistic": lambda real, fake: -log_sigmoid(real - fake).mean(),
}
GENERATOR = {
    "non-saturating": lambda real, fake: -log_sigmoid(fake).mean(),
    "least-squares": lambda real, fake: 0.5 * ((fake - 1) ** 2).mean(),
    "hinge": lambda real, fake: -fake.mean(),
    "wasserstein": lambda real, fake: -fake.mean(),
    "relativistic": lambda real, fake: -log_sigmoid(fake - real).mean(),
}
PLAIN = Config(loss="non-saturating", r1=0.0, r2=0.0)


def test_a_penalty_left_open_is_as_strong_as_the_size_of_the_images_wants():
    open_one = Config(r1=None, r2=0.0)
    assert open_one.complete(MODELS["dcgan"](channels=3, size=(64, 64))) == Config(r1=0.25, r2=0.0)
    assert open_one.complete(MODELS["dcgan"](channels=1, size=(32, 32))).r1 == pytest.approx(0.25 / 12)
    assert [phase.name for phase in open_one.phases(Toy())] == ["generator", "discriminator", "penalty"]


class Toy(AdversarialGenerator):
    """2x2 images; a linear generator, and a discriminator of one's choice that counts what it is shown."""

    latent_dim, channels, size, classes = 3, 1, (2, 2), 0

    def __init__(self, judge=None):
        super().__init__()
        self.generator, self.discriminator, self.classifier = nn.Linear(3, 4), nn.Linear(4, 1, bias=False), nn.Linear(4, 3)
        self.function = judge or (lambda x: self.discriminator(x.flatten(1)).squeeze(1))
        self.made, self.shown = 0, []

    @property
    def slope(self):
        return self.discriminator.weight[0]

    def synthesize(self, styles, labels=None, steering=None):
        self.made += 1
        return self.generator(styles[:, 0]).reshape(-1, 1, 2, 2)

    def discriminate(self, images, labels=None):
        self.shown.append(images)
        return DiscriminatorOutput(self.function(images), self.classifier(images.flatten(1)) if self.classes else None)


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy()


def batch(seen=0, progress=0.0):
    clean = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(clean=clean, degraded=clean, labels=None, rng=torch.Generator().manual_seed(2), images_seen=seen, progress=progress)


def phase(config, model, name):
    return {p.name: p for p in config.phases(model)}[name]


@pytest.mark.parametrize("kind", DISCRIMINATOR)
def test_the_discriminators_loss_is_the_papers(kind):
    real, fake = torch.randn(2, 64, generator=torch.Generator().manual_seed(0)) * 3
    expected = DISCRIMINATOR[kind](real.double().numpy(), fake.double().numpy())
    assert discriminator_loss(kind, real, fake).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", GENERATOR)
def test_the_generators_loss_is_the_papers(kind):
    real, fake = torch.randn(2, 64, generator=torch.Generator().manual_seed(0)) * 3
    expected = GENERATOR[kind](real.double().numpy(), fake.double().numpy())
    assert generator_loss(kind, fake, real).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", DISCRIMINATOR)
def test_losses_stay_finite_for_huge_logits(kind):
    huge = torch.tensor([-1e4, 1e4], requires_grad=True)
    total = discriminator_loss(kind, huge, huge.flip(0)) + generator_loss(kind, huge, huge.flip(0))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(huge.grad).all()


def test_the_relativistic_loss_compares_pairs_and_not_averages():
    real, fake = torch.tensor([0.0, 4.0]), torch.tensor([0.0, 4.0])
    paired, crossed = discriminator_loss("relativistic", real, fake), discriminator_loss("relativistic", real, fake.flip(0))
    assert paired.item() == pytest.approx(math.log(2))
    assert crossed.item() == pytest.approx((math.log1p(math.exp(4)) + math.log1p(math.exp(-4))) / 2)


def test_a_discriminator_that_knows_nothing_is_at_the_minimax_value_of_minus_log_four(toy):
    nn.init.zeros_(toy.discriminator.weight)
    losses = phase(PLAIN, toy, "discriminator").loss(batch())
    assert losses["minimax_value"].item() == pytest.approx(-math.log(4))


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_the_penalty_of_a_linear_discriminator_is_the_square_of_its_weights(toy, name):
    config = Config(r1=0.0, r2=0.0)
    config = dataclasses.replace(config, penalty_every=1, **{name: 3.0})
    losses = phase(config, toy, "penalty").loss(batch())
    square = toy.slope.square().sum()
    torch.testing.assert_close(losses[name], square)
    torch.testing.assert_close(losses["total"], 3.0 * square / 2)
    losses["total"].backward()
    torch.testing.assert_close(toy.discriminator.weight.grad[0], 3.0 * toy.slope, msg="the gradient of gamma / 2 |w|^2 is gamma w")


def test_the_penalty_is_the_slope_that_finite_differences_find():
    def judge(x):
        return (x.flatten(1) ** 3 * torch.arange(1.0, 5)).sum(1).tanh()

    losses = phase(Config(r2=0.0), Toy(judge), "penalty").loss(batch())
    clean, step = batch().clean.double(), 1e-5
    slopes = []
    for i in range(4):
        offset = torch.zeros(4).double()
        offset[i] = step
        offset = offset.reshape(1, 1, 2, 2)
        slopes.append((judge(clean + offset) - judge(clean - offset)) / (2 * step))
    assert losses["r1"].item() == pytest.approx(torch.stack(slopes).square().sum(0).mean().item(), rel=1e-4)


def test_r1_looks_at_real_images_and_r2_at_generated_ones(toy):
    phase(Config(r2=0.0), toy, "penalty").loss(batch())
    assert torch.equal(toy.shown[-1], batch().clean)
    phase(Config(r1=0.0), toy, "penalty").loss(batch())
    with torch.no_grad():
        assert torch.equal(toy.shown[-1], toy.sample(batch().normal(3)))


@pytest.mark.parametrize("every", [1, 4, 16])
def test_a_lazy_penalty_is_as_much_stronger_as_it_is_rarer(toy, every):
    eager = phase(Config(penalty_every=1), toy, "penalty").loss(batch())["total"]
    lazy = phase(Config(penalty_every=every), toy, "penalty")
    assert lazy.every == every
    torch.testing.assert_close(lazy.loss(batch())["total"], every * eager)


def test_the_penalty_fades_along_a_cosine(toy):
    config = Config(penalty_end=0.2)
    start, middle, end = (phase(config, toy, "penalty").loss(batch(progress=p))["total"].item() for p in (0.0, 0.5, 1.0))
    assert middle == pytest.approx(start * 0.6)
    assert end == pytest.approx(start * 0.2)


def test_without_weight_there_is_no_penalty_phase(toy):
    assert [p.name for p in PLAIN.phases(toy)] == ["generator", "discriminator"]


@pytest.mark.parametrize(("length", "expected"), [(1.0, 0.0), (3.0, 40.0)])
def test_the_gradient_penalty_asks_for_a_slope_of_one(toy, length, expected):
    with torch.no_grad():
        toy.discriminator.weight.mul_(length / toy.slope.norm())
    config = Config(loss="wasserstein", r1=0.0, r2=0.0, gradient_penalty=10.0)
    losses = phase(config, toy, "discriminator").loss(batch())
    assert losses["penalty"].item() == pytest.approx(expected, abs=1e-4)
    assert losses["total"].item() == pytest.approx((losses["fake_logit"] - losses["real_logit"]).item() + expected, abs=1e-4)


def test_the_gradient_penalty_is_taken_between_each_real_image_and_its_partner(toy):
    phase(Config(loss="wasserstein", r1=0.0, r2=0.0, gradient_penalty=10.0), toy, "discriminator").loss(batch())
    real, fake, between = (images.flatten(1) for images in toy.shown)
    share = ((between - fake) * (real - fake)).sum(1) / (real - fake).square().sum(1)
    assert ((share >= 0) & (share <= 1)).all()
    torch.testing.assert_close(fake + share[:, None] * (real - fake), between)
    assert share.unique().numel() == len(share), "each image has its own place on the way"


def test_wasserstein_without_a_penalty_is_refused():
    with pytest.raises(SettingError, match="needs gradient_penalty"):
        Config(loss="wasserstein", r1=0.0)


def test_the_images_of_a_step_are_made_once(toy):
    phases = Config().phases(toy)
    for seen in (0, 6):
        shown = batch(seen)
        for each in phases:
            each.loss(shown)
    assert toy.made == 2


def test_between_steps_of_the_generator_the_discriminator_gets_new_images(toy):
    discriminator = phase(Config(generator_every=5), toy, "discriminator")
    assert phase(Config(generator_every=5), toy, "generator").every == 5
    rng = torch.Generator().manual_seed(2)
    for seen in (6, 12):
        discriminator.loss(dataclasses.replace(batch(seen), rng=rng))
    assert not torch.equal(toy.shown[1], toy.shown[3])


def test_neither_side_trains_the_other(toy):
    phases = Config().phases(toy)
    shown = batch()
    toy.discriminator.requires_grad_(False)
    phases[0].loss(shown)["total"].backward()
    assert toy.generator.weight.grad.abs().sum() > 0
    toy.zero_grad()
    toy.discriminator.requires_grad_(True)
    phases[1].loss(shown)["total"].backward()
    assert toy.discriminator.weight.grad.abs().sum() > 0
    assert toy.generator.weight.grad is None


def test_augmentation_changes_all_that_the_discriminator_sees_and_lets_gradients_through(toy):
    config = Config(augment=augment.Config(cutout=1.0), penalty_every=1)
    phases, shown = config.phases(toy), batch()
    phases[0].loss(shown)["total"].backward()
    assert toy.generator.weight.grad.abs().sum() > 0
    for each in phases[1:]:
        each.loss(shown)
    assert len(toy.shown) == 6
    for images in toy.shown:
        assert (images == 0.5).any(), "a hole of the side of the image leaves mid-grey somewhere"


def test_figures_say_how_varied_and_how_obvious_the_images_are(toy):
    with torch.no_grad():
        toy.generator.weight.zero_()
        toy.discriminator.weight.fill_(1.0)
        toy.generator.bias.fill_(-1.0)
    phases = Config().phases(toy)
    shown = batch()
    assert phases[0].loss(shown)["diversity"].item() == 0
    losses = phases[1].loss(shown)
    assert losses["told_apart"].item() == 1
    assert losses["fake_logit"].item() == pytest.approx(-4)
    assert losses["real_logit"].item() == pytest.approx(shown.clean.sum((1, 2, 3)).mean().item())


def test_the_discriminator_learns_classes_from_real_images_and_the_generator_must_show_them(toy):
    toy.classes = 3
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    shown = dataclasses.replace(batch(), labels=labels)
    phases = Config(classify=0.5, r1=0.0, r2=0.0).phases(toy)
    plain = Config(classify=0.0, r1=0.0, r2=0.0).phases(toy)
    phases[1].memory.class_information.fill_(0.25)
    shares = (0.25, 1.0)
    for each, without, images, share in zip(phases, plain, (toy.sample(batch().normal(3)), shown.clean), shares, strict=True):
        losses = each.loss(dataclasses.replace(shown, rng=torch.Generator().manual_seed(2)))
        bare = without.loss(dataclasses.replace(shown, rng=torch.Generator().manual_seed(2)))
        missed = F.cross_entropy(toy.classifier(images.flatten(1)), labels)
        torch.testing.assert_close(losses["classes"], missed)
        torch.testing.assert_close(losses["total"], bare["total"] + 0.5 * share * missed)
        assert "classes" not in bare


def test_the_generator_is_held_to_classes_as_far_as_the_discriminator_has_learned_them():
    controller = Controller(Adaptive(), penalised=False)
    controller.learn(torch.tensor(math.log(4)), 4)
    assert controller.class_information == 0, "it guesses"
    for _ in range(200):
        controller.learn(torch.tensor(math.log(2)), 4)
    assert controller.class_information.item() == pytest.approx(0.5, abs=0.01), "it knows one bit of two"
    for _ in range(200):
        controller.learn(torch.tensor(0.0), 4)
    assert controller.class_information.item() == pytest.approx(1, abs=0.01)


def test_without_labels_there_are_no_classes_to_miss(toy):
    for each in Config(classify=1.0).phases(toy):
        assert "classes" not in each.loss(batch())


def test_a_penalty_on_a_discriminator_with_batch_norm_is_refused(toy):
    toy.discriminator = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm2d(2))
    with pytest.raises(SettingError, match="normalises over the batch"):
        Config().phases(toy)
    assert PLAIN.phases(toy)


@pytest.mark.parametrize(
    ("settings", "model", "says"),
    [
        ({"layers": (1.0, 2.0)}, {"dcgan": {}}, "layers are weights of the layers of features"),
        ({"mixing": 0.9}, {"dcgan": {}}, "mixing = 0.9 has no effect"),
        ({}, {"stylegan": {"judging": "added", "judging_layers": 2}}, "judging_layers = 2 has no effect"),
    ],
)
def test_settings_without_effect_are_refused(settings, model, says):
    def planned():
        objective = Config(**settings)
        for family, changes in model.items():
            network = MODELS[family](size=(16, 16), channels=1, classes=0, width=4, discriminator_width=4, **changes).build()
            objective.phases(network)

    with pytest.raises(SettingError, match=says):
        planned()
