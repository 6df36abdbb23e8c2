"""Evidence lower bound, in nats per image (Kingma & Welling 2014, https://arxiv.org/abs/1312.6114, eq. 3).

    -ELBO = E_q(z|x)[-log p(x|z)] + beta * KL(q(z|x) || N(0, 1))

With beta other than one it is the beta-VAE's (Higgins et al. 2017); with several samples, the importance-weighted bound (Burda
et al. 2016, https://arxiv.org/abs/1509.00519, eq. 8), which is tighter.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Scalar, Vectors, to_images
from sfumato.data.stream import Stream
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.objectives.base import SHEET, Batch, GeneratorObjective, Losses, Phase, RunSettings, portions

PRIOR_IMAGES = 20_000
"""Images whose latents a prior is fitted to."""


@settings
class Config(GeneratorObjective[LatentVariableModel]):
    """Settings of the training of a latent variable model by its evidence lower bound."""

    id = "elbo"
    beta: Annotated[float, Range(0, 1000)] = 1.0
    """Weight of the KL term; one is the true bound."""
    free_bits: Annotated[float, Range(0, 100, "nats per latent number")] = 0.0
    """KL below this is not penalised (Kingma et al. 2016), against latents that die early."""
    warmup: Annotated[int, Range(0, 10**12, "images")] = 0
    """The KL term's weight grows linearly from 0 to beta over this many images."""
    samples: Annotated[int, Range(1, 1000, "per image")] = 1
    """Latents drawn per image; more than one trains the importance-weighted bound."""

    def check(self) -> None:
        if self.samples > 1 and (self.beta != 1 or self.free_bits):
            raise SettingError(f"elbo: samples = {self.samples} is a bound of its own and takes neither beta nor free_bits")

    def phases(self, model: LatentVariableModel) -> list[Phase]:
        """One phase, the bound of the observed images."""

        def bound(batch: Batch) -> Losses:
            x = model.observe(batch.clean, batch.uniform(*batch.clean.shape[1:]))
            mean, logvar = model.posterior(x, batch.labels)
            noise = batch.normal(self.samples, mean.shape[1])
            z = mean[:, None] + (logvar[:, None] / 2).exp() * noise
            log_p = _log_likelihoods(model, x, z, batch.labels)
            ramp = min(1.0, (batch.images_seen + 1) / self.warmup) if self.warmup else 1.0
            kl = _kl(mean, logvar).mean(0)
            if self.samples == 1:
                penalty = kl.clamp_min(self.free_bits).sum()
                return {"total": ramp * self.beta * penalty - log_p.mean(), **_report(model, kl.sum() - log_p.mean(), kl)}
            log_ratio = ((noise.square() + logvar[:, None] - z.square()) / 2).sum(2)
            total, nats = (math.log(self.samples) - (log_p + r * log_ratio).logsumexp(1).mean() for r in (ramp, 1.0))
            return {"total": total, **_report(model, nats, kl)}

        return [Phase(name="elbo", weights=list(model.parameters()), loss=bound)]

    def preview(self, model: LatentVariableModel, stream: Stream, settings: RunSettings) -> Images:
        """The same 64 samples at every call, then 32 pairs of an image and its reconstruction."""
        images = to_images(stream.pixels[: SHEET // 2])
        labels = None if not model.classes or stream.labels is None else stream.labels[: SHEET // 2]
        pairs = [super().preview(model, stream, settings)]
        for part in portions(len(images), settings.batch):
            own = None if labels is None else labels[part]
            reconstructed = model.decode(model.posterior(images[part], own)[0], own)
            pairs.append(torch.stack([images[part], reconstructed], dim=1).flatten(0, 1))
        return torch.cat(pairs)

    def validate(self, model: LatentVariableModel, batch: Batch) -> Losses:
        """Minus the ELBO of held-out images, one sample each, in nats and, if pixels are discrete, in bits per dimension."""
        with torch.no_grad():
            x = model.observe(batch.clean, batch.uniform(*batch.clean.shape[1:]))
            mean, logvar = model.posterior(x, batch.labels)
            z = mean + (logvar / 2).exp() * batch.normal(mean.shape[1])
            kl = _kl(mean, logvar).mean(0)
            return _report(model, kl.sum() - model.log_likelihood(x, z, batch.labels).mean(), kl)

    def finish(self, model: LatentVariableModel, stream: Stream) -> None:
        """Fits the prior of the network, if it has one of its own, to the latents of the first images of the data."""
        rng, latents = seeded_generator(stream.seed, "prior"), []
        with torch.no_grad():
            for start in range(0, min(PRIOR_IMAGES, len(stream.data)), stream.batch):
                part = slice(start, start + stream.batch)
                x = to_images(stream.pixels[part])
                labels = stream.labels[part] if model.classes and stream.labels is not None else None
                mean, logvar = model.posterior(model.observe(x, torch.rand(x.shape, generator=rng).to(x)), labels)
                latents.append(mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=rng).to(mean))
        model.fit_prior(torch.cat(latents), rng)


def _log_likelihoods(model: LatentVariableModel, images: Images, z: Float[Tensor, "n k d"], labels: Labels | None) -> Float[Tensor, "n k"]:
    """The log-likelihood of each image under each of its latents."""
    k = z.shape[1]
    if k == 1:
        return model.log_likelihood(images, z[:, 0], labels)[:, None]
    repeated = None if labels is None else labels.repeat_interleave(k)
    return model.log_likelihood(images.repeat_interleave(k, dim=0), z.flatten(0, 1), repeated).reshape(-1, k)


def _kl(mean: Vectors, logvar: Vectors) -> Vectors:
    """KL of each latent number's posterior to N(0, 1), in nats."""
    return (mean.square() + logvar.exp() - logvar - 1) / 2


def _report(model: LatentVariableModel, nats: Scalar, kl: Float[Tensor, " d"]) -> Losses:
    """The bound, in bits too if the likelihood is a probability, the KL, and the number of latent dimensions with more than 0.01 nats."""
    pixels = model.channels * model.size[0] * model.size[1]
    bits = {"bits_per_dimension": nats / (math.log(2) * pixels)} if model.discrete else {}
    return {"nats": nats, **bits, "kl": kl.sum(), "active_latents": (kl > 0.01).sum().float()}
