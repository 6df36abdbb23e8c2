"""The likelihoods of the VAE, against torch.distributions and explicit sums, and its latent prior."""

import math

import pytest
import torch
from torch import distributions

from sfumato.models.vae import Config, _log_logistic_mass

LEVELS = torch.arange(256) / 255


def network(likelihood, size=(8, 8), channels=2, **changes):
    torch.manual_seed(0)
    return Config(size=size, channels=channels, classes=0, latent_dim=3, width=4, likelihood=likelihood, **changes).build().eval()


@pytest.fixture
def z():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 2, 8, 8), generator=torch.Generator().manual_seed(2)) / 255


def test_bernoulli_pixels(z, images):
    net = network("bernoulli")
    bits = net.observe(images, torch.rand(5, 2, 8, 8, generator=torch.Generator().manual_seed(3)))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    expected = distributions.Bernoulli(probs=net.decode(z)).log_prob(bits).sum((1, 2, 3))
    torch.testing.assert_close(net.log_likelihood(bits, z), expected, rtol=1e-4, atol=1e-3)


def test_a_bit_is_one_as_often_as_its_pixel_is_bright():
    net = network("bernoulli", channels=1)
    uniform = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    assert net.observe(torch.full_like(uniform, 0.3), uniform).mean().item() == pytest.approx(0.3, abs=0.01)


def test_gaussian_pixels_have_one_scale_a_channel(z, images):
    net = network("gaussian")
    with torch.no_grad():
        net.log_scale.copy_(torch.tensor([-1.0, 0.5]).reshape(2, 1, 1))
    expected = distributions.Normal(net.decode(z), net.log_scale.exp()).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(net.log_likelihood(images, z), expected)


@pytest.mark.parametrize("log_scale", [-3.0, -2.0, 0.0])
def test_logistic_pixels_are_masses_of_the_256_levels(log_scale, z, images):
    net = network("logistic")
    with torch.no_grad():
        net.log_scale.fill_(log_scale)
    edges = torch.cat([torch.tensor([-math.inf]), (LEVELS[1:] + LEVELS[:-1]) / 2, torch.tensor([math.inf])]).double()
    below = ((edges - net.decode(z)[..., None].double()) / (math.exp(log_scale) / 2)).sigmoid()
    mass = below.diff(dim=-1).gather(-1, (images * 255).round().long()[..., None])[..., 0]
    torch.testing.assert_close(net.log_likelihood(images, z).double(), mass.log().sum((1, 2, 3)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.123, 0.998, 3.0])
@pytest.mark.parametrize("log_scale", [-4.0, -2.0, 1.0])
def test_the_masses_of_the_256_levels_sum_to_one(mean, log_scale):
    levels = LEVELS.reshape(256, 1, 1, 1)
    masses = _log_logistic_mass(levels, torch.full_like(levels, mean), torch.tensor(log_scale)).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "logistic"])
def test_far_off_pixels_keep_a_finite_likelihood_and_gradient(likelihood, z):
    net = network(likelihood)
    for extreme in (0.0, 1.0):
        total = net.log_likelihood(torch.full((5, 2, 8, 8), extreme), 1e3 * z).sum()
        total.backward()
        assert torch.isfinite(total)
        assert all(torch.isfinite(w.grad).all() for w in net.parameters() if w.grad is not None)


def test_without_a_fit_the_mixture_samples_like_the_normal_prior(z):
    plain, mixed = network("gaussian"), network("gaussian", mixture=1)
    torch.testing.assert_close(mixed.sample(z), plain.sample(z), rtol=1e-4, atol=1e-4)


def test_a_mixture_bends_samples_and_never_reconstructions(z):
    net = network("gaussian", mixture=2)
    before = net.decode(z)
    net.mixture.means.add_(5.0)
    assert torch.equal(net.decode(z), before)
    assert not torch.allclose(net.sample(z), before)
