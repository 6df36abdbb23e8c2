"""Importance sampling against a model whose likelihood is known: probabilistic PCA."""

import math

import pytest
import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.likelihood import bits_per_dimension, importance_sampled
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.style_generator import StyleGenerator


class LinearGaussian(LatentVariableModel, StyleGenerator):
    """x = W z + mean of the class + noise, so that p(x) is normal with covariance W Wᵀ + noise².

    W has orthogonal columns, so the true posterior is independent in each latent; `off` moves and widens what `posterior` claims.
    """

    def __init__(self, classes=0, off=0.0, bits=False):
        super().__init__()
        self.latent_dim, self.channels, self.size, self.classes, self.off, self.bits = 2, 1, (2, 3), classes, off, bits
        turn = torch.linalg.qr(torch.randn(6, 2, generator=seeded_generator(0))).Q
        self.weights = nn.Parameter(turn * torch.tensor([1.5, 0.5]))
        self.register_buffer("means", torch.randn(max(1, classes), 6, generator=seeded_generator(1)))
        self.noise, self.most_rows, self.seen = 0.3, 0, []
        self.drop = nn.Dropout(0.5)

    def mean_style(self, labels, n):
        return self.means[torch.zeros(n, dtype=torch.long) if labels is None else labels]

    def posterior(self, images, labels=None):
        precision = self.weights.square().sum(0) / self.noise**2 + 1
        mean = self.drop(images.flatten(1) - self.mean_style(labels, len(images))) @ self.weights / self.noise**2 / precision
        return mean + self.off, (-precision.log() + abs(self.off)).expand(len(images), 2)

    def log_likelihood(self, images, z, labels=None):
        self.most_rows = max(self.most_rows, len(z))
        self.seen.append(images)
        error = (images.flatten(1) - self.mean_style(labels, len(images)) - z @ self.weights.T) / self.noise
        return -(error.square() / 2 + math.log(self.noise * math.sqrt(2 * math.pi))).sum(1)

    def decode(self, z, labels=None):
        return (z @ self.weights.T + self.mean_style(labels, len(z))).view(-1, 1, 2, 3)

    def synthesize(self, styles, labels=None, steering=None):
        return self.decode(styles[:, 0], labels)

    def observe(self, images, uniform):
        return (uniform < images).float() if self.bits else images

    def exact(self, images, labels=None):
        covariance = self.weights @ self.weights.T + self.noise**2 * torch.eye(6)
        centred = images.flatten(1) - self.mean_style(labels, len(images))
        return torch.distributions.MultivariateNormal(torch.zeros(6), covariance).log_prob(centred).detach()


IMAGES = torch.rand(7, 1, 2, 3, generator=seeded_generator(2))


def test_under_the_true_posterior_one_sample_is_exact():
    model = LinearGaussian()
    estimate = importance_sampled(model, IMAGES, samples=1, rng=seeded_generator(3))
    torch.testing.assert_close(estimate.float(), model.exact(IMAGES), rtol=1e-4, atol=1e-4)


def test_under_another_posterior_many_samples_come_near():
    model = LinearGaussian(off=0.2)
    exact = model.exact(IMAGES)
    estimate = importance_sampled(model, IMAGES, samples=50_000, rng=seeded_generator(3), chunk=5000)
    torch.testing.assert_close(estimate.float(), exact, rtol=0, atol=0.04)
    bound = torch.stack([importance_sampled(model, IMAGES, samples=1, rng=seeded_generator(i)) for i in range(300)]).mean(0)
    few = torch.stack([importance_sampled(model, IMAGES, samples=5, rng=seeded_generator(i)) for i in range(300)]).mean(0)
    assert (bound < few).all()
    assert (few < exact + 0.02).all()
    assert (exact - bound > 0.3).all()


def test_labels_go_with_their_images_through_every_chunk():
    model, labels = LinearGaussian(classes=4), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    exact = model.exact(IMAGES, labels)
    for chunk in (1, 3, 7, 20):
        estimate = importance_sampled(model, IMAGES, labels, samples=3, rng=seeded_generator(3), chunk=chunk)
        torch.testing.assert_close(estimate.float(), exact, rtol=1e-4, atol=1e-4)


def test_chunks_bound_the_decoder_and_change_nothing():
    estimates = []
    for chunk in (1, 4, 7, 16, 1000):
        model = LinearGaussian(off=0.2)
        estimates.append(importance_sampled(model, IMAGES, samples=9, rng=seeded_generator(3), chunk=chunk))
        assert 0 < model.most_rows <= chunk
    for estimate in estimates[1:]:
        torch.testing.assert_close(estimate, estimates[0], rtol=1e-5, atol=1e-5)


def test_bits_are_drawn_once():
    model = LinearGaussian(bits=True)
    importance_sampled(model, IMAGES, samples=5, rng=seeded_generator(3), chunk=7)
    assert set(model.seen[0].flatten().tolist()) == {0.0, 1.0}
    assert all(torch.equal(seen, model.seen[0]) for seen in model.seen)


def test_far_images_do_not_underflow():
    model = LinearGaussian(off=0.1)
    far = IMAGES + 100
    estimate = importance_sampled(model, far, samples=50, rng=seeded_generator(3))
    assert estimate.isfinite().all()
    torch.testing.assert_close(estimate.float(), model.exact(far), rtol=1e-3, atol=1)


def test_the_model_is_evaluated_as_it_is_used_and_left_as_it_was():
    model = LinearGaussian().train()
    estimate = importance_sampled(model, IMAGES, samples=1, rng=seeded_generator(3))
    torch.testing.assert_close(estimate.float(), model.exact(IMAGES), rtol=1e-4, atol=1e-4)
    assert model.training
    assert not estimate.requires_grad


@pytest.mark.parametrize(("samples", "chunk"), [(0, 5), (5, 0)])
def test_nothing_to_do_is_refused(samples, chunk):
    with pytest.raises(SettingError, match="at least 1"):
        importance_sampled(LinearGaussian(), IMAGES, samples=samples, rng=seeded_generator(0), chunk=chunk)


def test_bits_per_dimension_of_a_uniform_byte_image_are_eight():
    nats = torch.tensor([-3 * 32 * 32 * math.log(256)])
    assert bits_per_dimension(nats, (3, 32, 32)).item() == pytest.approx(8)
