"""The evidence lower bound, on a model whose evidence is known in closed form."""

import math

import pytest
import torch
from torch import distributions, nn

from sfumato.core.errors import SettingError
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.objectives.base import Batch
from sfumato.objectives.elbo import Config

NOISE = 0.5


class Line(LatentVariableModel, StyleGenerator):
    """One pixel: z ~ N(0, 1), x = z + NOISE * N(0, 1). Its true posterior is normal, and q is off by `shift` and `log_stretch`."""

    latent_dim, channels, size, classes, discrete = 1, 1, (1, 1), 0, True

    def __init__(self, shift=0.0, log_stretch=0.0):
        super().__init__()
        self.shift, self.log_stretch = nn.Parameter(torch.tensor(shift)), nn.Parameter(torch.tensor(log_stretch))

    def posterior(self, images, labels=None):
        x = images.flatten(1)
        logvar = torch.full_like(x, math.log(NOISE**2 / (1 + NOISE**2)))
        return x / (1 + NOISE**2) + self.shift, logvar + 2 * self.log_stretch

    def log_likelihood(self, images, z, labels=None):
        return distributions.Normal(z[:, 0], NOISE).log_prob(images.flatten())

    def decode(self, z, labels=None):
        return z.reshape(-1, 1, 1, 1)

    def synthesize(self, styles, labels=None, steering=None):
        return self.decode(styles[:, 0], labels)

    def observe(self, images, uniform):
        return images


class Blind(Line):
    """Four latents and 2x2 images; the posterior is the same for all images, and no image is likelier than another."""

    latent_dim, size = 4, (2, 2)
    means, logvars = torch.tensor([0.0, 0.1, 1.0, 2.0]), torch.tensor([0.0, -0.1, -2.0, 1.0])

    def posterior(self, images, labels=None):
        return self.means.expand(len(images), -1) + self.shift, self.logvars.expand(len(images), -1)

    def log_likelihood(self, images, z, labels=None):
        return -images.sum((1, 2, 3))

    @property
    def kl(self):
        posterior = distributions.Normal(self.means, (self.logvars / 2).exp())
        return distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0))


def batch(count=2048, size=(1, 1), seen=0):
    clean = torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))
    return Batch(clean=clean, degraded=clean, labels=None, rng=torch.Generator().manual_seed(1), images_seen=seen, progress=0.0)


def losses(config, model, shown):
    (phase,) = config.phases(model)
    return {name: value.item() for name, value in phase.loss(shown).items()}


def noise(count, k):
    """The numbers that the objective draws for its latents, after those with which it observes."""
    again = batch(count)
    again.uniform(1, 1, 1)
    return again.normal(k, 1)


def evidence(shown):
    """Minus the mean log-evidence of the line."""
    return -distributions.Normal(0.0, math.sqrt(1 + NOISE**2)).log_prob(shown.clean.flatten()).mean().item()


def gap(model):
    """KL from q to the true posterior of the line: what the bound lies below the evidence, by its definition."""
    scale = NOISE / math.sqrt(1 + NOISE**2)
    q = distributions.Normal(model.shift.detach(), scale * model.log_stretch.detach().exp())
    return distributions.kl_divergence(q, distributions.Normal(0.0, scale)).item()


@pytest.mark.parametrize(("shift", "log_stretch"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (-0.2, -0.5)])
def test_the_bound_is_the_evidence_less_the_posteriors_error(shift, log_stretch):
    model = Line(shift, log_stretch)
    nats = losses(Config(), model, batch(50_000))["nats"]
    assert nats == pytest.approx(evidence(batch(50_000)) + gap(model), abs=0.01)


@pytest.mark.parametrize("samples", [2, 7])
def test_with_the_true_posterior_every_importance_weight_is_the_evidence(samples):
    shown = batch()
    assert losses(Config(samples=samples), Line(), shown)["nats"] == pytest.approx(evidence(shown), abs=1e-5)


def test_the_importance_weighted_bound_is_the_papers():
    model, k, shown = Line(0.3, 0.2), 5, batch(64)
    mean, logvar = (v.detach() for v in model.posterior(shown.clean))
    z = mean[:, None] + (logvar / 2).exp()[:, None] * noise(64, k)
    q, prior = distributions.Normal(mean, (logvar / 2).exp()), distributions.Normal(0.0, 1.0)
    joint = distributions.Normal(z[..., 0], NOISE).log_prob(shown.clean.reshape(64, 1)) + prior.log_prob(z[..., 0])
    weights = (joint - q.log_prob(z[..., 0])).double().exp()
    assert losses(Config(samples=k), model, shown)["total"] == pytest.approx(-weights.mean(1).log().mean().item(), abs=1e-5)


def test_more_samples_tighten_the_bound():
    bounds = [losses(Config(samples=k), Line(0.4, 0.3), batch(20_000))["nats"] for k in (1, 2, 8, 64)]
    assert sorted(bounds, reverse=True) == bounds
    assert bounds[-1] == pytest.approx(evidence(batch(20_000)), abs=0.02)


def test_kl_is_that_of_normal_distributions():
    said = losses(Config(), Blind(), batch(8, (2, 2)))
    assert said["kl"] == pytest.approx(Blind().kl.sum().item(), rel=1e-5)
    assert said["active_latents"] == 2, "those with 0 and 0.007 nats carry nothing"


def test_the_total_is_reconstruction_plus_kl():
    shown = batch(8, (2, 2))
    expected = shown.clean.sum((1, 2, 3)).mean().item() + Blind().kl.sum().item()
    assert losses(Config(), Blind(), shown)["total"] == pytest.approx(expected, rel=1e-5)


def test_bits_per_dimension_are_nats_over_log_two_over_pixels():
    said = losses(Config(), Blind(), batch(8, (2, 2)))
    assert said["bits_per_dimension"] == pytest.approx(said["nats"] / math.log(2) / 4, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 4.0])
def test_beta_weighs_the_kl_in_the_loss_and_not_in_the_report(beta):
    shown = batch(8, (2, 2))
    plain, weighted = losses(Config(), Blind(), shown), losses(Config(beta=beta), Blind(), shown)
    assert weighted["total"] - plain["total"] == pytest.approx((beta - 1) * plain["kl"], rel=1e-4)
    assert weighted["nats"] == plain["nats"]


def test_free_bits_are_a_floor_under_each_latents_price():
    shown = batch(8, (2, 2))
    plain, free = losses(Config(), Blind(), shown), losses(Config(free_bits=0.5), Blind(), shown)
    assert free["total"] - plain["total"] == pytest.approx((Blind().kl.clamp_min(0.5) - Blind().kl).sum().item(), rel=1e-4)
    assert free["kl"] == plain["kl"]


def test_latents_below_their_free_bits_feel_no_pull():
    model = Blind()
    (phase,) = Config(free_bits=100.0).phases(model)
    phase.loss(batch(8, (2, 2)))["total"].backward()
    assert model.shift.grad.item() == 0


@pytest.mark.parametrize(("seen", "share"), [(0, 0.01), (49, 0.5), (99, 1.0), (10_000, 1.0)])
def test_the_kl_warms_up_linearly(seen, share):
    plain, warm = (losses(Config(warmup=w), Blind(), batch(8, (2, 2), seen)) for w in (0, 100))
    assert warm["total"] - plain["total"] == pytest.approx((share - 1) * plain["kl"], abs=1e-4)
    assert warm["nats"] == plain["nats"]


@pytest.mark.parametrize("other", [{"beta": 2.0}, {"free_bits": 0.1}])
def test_settings_that_the_importance_weighted_bound_has_no_use_for_are_refused(other):
    with pytest.raises(SettingError, match="samples = 3"):
        Config(samples=3, **other)


def test_held_out_images_are_measured_by_the_true_bound():
    shown = batch(8, (2, 2))
    measured = Config(beta=3.0, free_bits=1.0, warmup=100).validate(Blind(), batch(8, (2, 2)))
    assert measured["nats"].item() == pytest.approx(losses(Config(), Blind(), shown)["nats"])
