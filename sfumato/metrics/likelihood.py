"""The log-likelihood log p(x) of images under a model, by importance sampling (Burda et al. 2016, https://arxiv.org/abs/1509.00519).

    log p(x) ≈ log 1/k Σ p(x|z) p(z) / q(z|x),   z ~ q(z|x)                          (8)

With one sample this is the evidence lower bound. Its expectation rises with every further sample and never exceeds log p(x).
The prior p(z) is the standard normal distribution of the training, even if the model later samples from another prior.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Labels, PerImage, Vectors
from sfumato.metrics.base import device_of, double, measuring
from sfumato.models.roles.latent_variable_model import LatentVariableModel


def importance_sampled(
    model: LatentVariableModel, images: Images, labels: Labels | None = None, *, samples: int = 1000, rng: torch.Generator, chunk: int = 512
) -> PerImage:
    """Estimate of log p(x) of each image in nats, from `samples` latents an image; higher is better, and on average not above log p(x).

    The network computes in its own precision, with at most `chunk` latents at a time; the result depends on `chunk` by rounding alone.
    Weights are summed in float64. If the likelihood is that of random bits, each image is drawn once. Raises SettingError for `samples`
    or `chunk` below 1.
    """
    if samples < 1 or chunk < 1:
        raise SettingError(f"samples = {samples}, chunk = {chunk} must both be at least 1")
    device, at_once = device_of(model, images.device), max(1, chunk // max(1, len(images)))
    labels = None if labels is None else labels.to(device)
    with measuring(model):
        observed = model.observe(images.to(device), torch.rand(images.shape, generator=rng).to(device))
        mean, logvar = _posterior(model, observed, labels, chunk)
        total = double(observed.new_full((len(observed),), -math.inf))
        for start in range(0, samples, at_once):
            noise = torch.stack([torch.randn(mean.shape, generator=rng) for _ in range(min(at_once, samples - start))]).to(mean)
            weights = _log_weights(model, observed, labels, posterior=(mean, logvar), noise=noise, chunk=chunk)
            total = torch.logaddexp(total, weights.logsumexp(dim=0))
    return total - math.log(samples)


def bits_per_dimension(nats: PerImage, shape: Sequence[int]) -> PerImage:
    """Bits per value of an image of `shape` (channels, height, width), from its log-likelihood in `nats`; lower is better.

    `nats` must be that of discrete values (bits, or 256 levels). For a density over [0, 1], trained on 256 levels with uniform noise
    between them, add 8 to the result.

    >>> bits_per_dimension(torch.tensor([-64 * math.log(2)]), (1, 8, 8)).tolist()
    [1.0]
    """
    return -nats / (math.prod(shape) * math.log(2))


def _posterior(model: LatentVariableModel, images: Images, labels: Labels | None, chunk: int) -> tuple[Vectors, Vectors]:
    """Mean and logarithm of the variance of each image's latent, `chunk` images at a time."""
    rows = torch.arange(len(images), device=images.device).split(chunk)
    parts = [model.posterior(images[r], None if labels is None else labels[r]) for r in rows]
    return torch.cat([mean for mean, _ in parts]), torch.cat([logvar for _, logvar in parts])


def _log_weights(
    model: LatentVariableModel,
    images: Images,
    labels: Labels | None,
    *,
    posterior: tuple[Vectors, Vectors],
    noise: Float[Tensor, "s n d"],
    chunk: int,
) -> Float[Tensor, "s n"]:
    """The logarithm of p(x|z) p(z) / q(z|x), for latents z from the standard normal draws `noise`: a row for each draw."""
    mean, logvar = posterior
    rows = torch.arange(len(images), device=images.device).repeat(len(noise)).split(chunk)
    weights = []
    for draw, row in zip(noise.flatten(0, 1).split(chunk), rows, strict=True):
        z = mean[row] + (logvar[row] / 2).exp() * draw
        prior_over_posterior = (draw.square() + logvar[row] - z.square()).sum(dim=1) / 2
        likelihood = model.log_likelihood(images[row], z, None if labels is None else labels[row])
        weights.append(double(likelihood) + double(prior_over_posterior))
    return torch.cat(weights).view(len(noise), len(images))
