"""A restorer against a discriminator: the formulas on a network whose slopes are known, and a short training."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.bundle import sampling
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.data.dataset import Scenes
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.models import MODELS
from sfumato.models.roles.restorer import AdversarialRestorer, Restorer
from sfumato.objectives import OBJECTIVES, restoration
from sfumato.objectives.adversarial_restoration import Config
from sfumato.objectives.base import Batch
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import checkpoint, weights
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings

CLEAN = torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(0))
DEGRADED = torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(1))
L1 = restoration.Config(charbonnier=0.0, l1=2.0)


class Brighter(Restorer):
    channels, scale, pad_multiple, receptive_radius, conditioning = 1, 1, 1, 0, ("observed",)

    def __init__(self):
        super().__init__()
        self.gain, self.times, self.told = nn.Parameter(torch.tensor(0.5)), 0, None

    def restore(self, degraded, planes=None):
        self.times, self.told = self.times + 1, planes
        return self.gain * degraded


class Toy(AdversarialRestorer):
    """Multiplies by a number; its judge weighs pixels by numbers of its own."""

    channels, scale, pad_multiple, receptive_radius, conditioning = 1, 1, 1, 0, ("observed",)

    def __init__(self):
        super().__init__()
        self.restorer, self.discriminator = Brighter(), nn.Linear(42, 1, bias=False)

    def restore(self, degraded, planes=None):
        return self.restorer.restore(degraded, planes)

    def discriminate(self, images):
        return self.discriminator(images.flatten(1)).squeeze(1)


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy()


def batch(seen=0):
    return Batch(clean=CLEAN, degraded=DEGRADED, labels=None, rng=torch.Generator(), images_seen=seen, progress=0.0)


def phases(model, **changes):
    return {p.name: p for p in Config(distance=L1, **changes).phases(model)}


def logits(toy):
    weight = toy.discriminator.weight.detach().flatten()
    return CLEAN.flatten(1) @ weight, 0.5 * DEGRADED.flatten(1) @ weight


def test_the_restorer_pays_for_its_distance_and_for_being_recognised(toy):
    real, fake = logits(toy)
    expected = {"non-saturating": F.softplus(-fake).mean(), "relativistic": F.softplus(real - fake).mean(), "hinge": -fake.mean()}
    apart = (0.5 * DEGRADED - CLEAN).abs().mean()
    for kind, recognised in expected.items():
        losses = phases(toy, loss=kind, adversarial=0.1)["generator"].loss(batch())
        torch.testing.assert_close(losses["l1"], apart)
        torch.testing.assert_close(losses["distance"], 2 * apart)
        torch.testing.assert_close(losses["adversarial"], recognised)
        torch.testing.assert_close(losses["total"], 2 * apart + 0.1 * recognised)


def test_the_discriminator_tells_clean_from_restored(toy):
    real, fake = logits(toy)
    expected = {"non-saturating": (F.softplus(-real) + F.softplus(fake)).mean(), "relativistic": F.softplus(fake - real).mean()}
    for kind, total in expected.items():
        losses = phases(toy, loss=kind)["discriminator"].loss(batch())
        torch.testing.assert_close(losses["total"], total)
        torch.testing.assert_close(losses["recognised"], (real > fake).float().mean())


def test_the_penalty_is_r1_taken_lazily(toy):
    """The slope of a linear judge is its weights."""
    length = toy.discriminator.weight.detach().square().sum()
    penalty = phases(toy, r1=0.6, penalty_every=8)["penalty"]
    assert penalty.every == 8
    torch.testing.assert_close(penalty.loss(batch())["total"], 8 * 0.3 * length)
    assert "penalty" not in phases(toy, r1=0.0)


def test_the_adversarial_part_comes_in_slowly(toy):
    shares = []
    for seen in (0, 49, 99, 500):
        losses = phases(toy, warmup=100, adversarial=1.0)["generator"].loss(batch(seen))
        shares.append(((losses["total"] - losses["distance"]) / losses["adversarial"]).item())
    assert shares == pytest.approx([0.01, 0.5, 1.0, 1.0])


def test_a_step_restores_once_and_tells_what_the_network_wants_to_know(toy):
    steps, shown = phases(toy), batch(seen=40)
    for phase in steps.values():
        phase.loss(shown)
    assert toy.restorer.times == 1
    assert torch.equal(toy.restorer.told, torch.ones(5, 1, 6, 7))
    steps["discriminator"].loss(batch(seen=45))
    assert toy.restorer.times == 2


def test_held_out_images_are_measured_in_decibels(toy):
    with torch.no_grad():
        toy.restorer.gain.fill_(1.0)
    expected = -10 * (DEGRADED - CLEAN).square().mean((1, 2, 3)).log10().mean()
    assert Config().validate(toy, batch())["decibels"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_plain_objective_does_not_leave_a_discriminator_idle(toy):
    with pytest.raises(SettingError, match="trains no discriminator"):
        restoration.Config().phases(toy)


@pytest.mark.parametrize("restorer", [MODELS["vae"](size=(8, 8), channels=1, classes=0), MODELS["srgan"]()])
def test_a_restorer_must_repair(restorer):
    with pytest.raises(SettingError, match=r"must be the settings of a Restorer|has a discriminator of its own"):
        MODELS["srgan"](restorer=restorer).build()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """150 steps on drawn textures in noise: stripes of any direction and width."""
    rng, (y, x) = seeded_generator(0), torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    pictures = []
    for _ in range(12):
        angle, period, phase = torch.rand(3, generator=rng) * torch.tensor([math.pi, 12.0, 6.0])
        wave = (2 * math.pi * (x * angle.cos() + y * angle.sin()) / (period + 8) + phase).sin()
        pictures.append(((wave[None] * 0.4 + 0.5) * 255).to(torch.uint8))
    settings = TrainSettings(
        model=MODELS["srgan"](restorer=MODELS["gated"](channels=1, width=8, middle=2), discriminator_width=4, discriminator_depth=2),
        objective=OBJECTIVES["adversarial_restoration"](distance=restoration.Config(charbonnier=0.0, l1=1.0)),
        patch=16,
        degrade=DEGRADATIONS["noise"](sigma=(0.25, 0.25)),
        images=1200,
        batch=8,
        lr=4e-3,
        lr_end=0.1,
        ema=80,
        precision="fp32",
        sample_every=600,
        save_every=600,
        log_every=120,
    )
    run = tmp_path_factory.mktemp("gan")
    return fit(settings, run=run, data=Scenes(name="stripes", pictures=tuple(pictures[:10])), device="cpu"), pictures[10:], run


def test_training_brings_the_restored_image_nearer(trained):
    model, held_out, _ = trained
    for i, picture in enumerate(held_out):
        clean = picture[None] / 255
        noisy = degrade(DEGRADATIONS["noise"](sigma=(0.25, 0.25)), clean, rng=seeded_generator(5, i)).images
        before, after = ((image - clean).abs().mean().item() for image in (noisy.clamp(0, 1), apply_restorer(model, noisy)))
        assert after < 0.8 * before


def test_the_restorer_is_shipped_alone(trained, tmp_path):
    model, held_out, run = trained
    whole = weights.load(run)
    alone = sampling(whole)
    checkpoint.save_model(tmp_path / "alone.safetensors", alone)
    loaded = weights.load(tmp_path / "alone.safetensors")
    assert loaded.config == model.config.restorer
    assert not any("discriminator" in name for name in loaded.network.state_dict())
    assert loaded.card.images_seen == 1200
    noisy = held_out[0][None] / 255
    assert torch.equal(apply_restorer(loaded, noisy), apply_restorer(whole, noisy))
    assert sampling(loaded) is loaded
