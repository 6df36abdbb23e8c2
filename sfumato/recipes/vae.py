"""Variational auto-encoders."""

import dataclasses

from sfumato.models import vae as networks
from sfumato.objectives import elbo
from sfumato.train.settings import TrainSettings


def vae() -> TrainSettings:
    """A variational auto-encoder of images of any size, with or without classes. A mixture fitted to the latents gives the samples."""
    return TrainSettings(
        model=networks.Config(mixture=20),
        objective=elbo.Config(warmup=50_000),
        validation=0.02,
        images=500_000,
        batch=128,
        lr=1e-3,
        lr_warmup=10_000,
        clip=1.0,
        ema=10_000,
    )


def digits_vae() -> TrainSettings:
    """The bundled `digits-vae`: MNIST as bits, with a latent of 32 numbers."""
    return dataclasses.replace(
        vae(),
        data="mnist",
        model=networks.Config(likelihood="bernoulli", classes=0, latent_dim=32, width=16, max_width=64, blocks=2, lowest=7, mixture=20),
        objective=elbo.Config(warmup=100_000),
        validation=0.0,
        lr=2e-3,
        clip=0.0,
        images=1_300_000,
    )
