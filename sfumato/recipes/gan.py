"""Generative adversarial networks."""

import dataclasses

from sfumato.core.config import changed
from sfumato.data import augment
from sfumato.models import dcgan as networks
from sfumato.models import stylegan as styled
from sfumato.objectives import adversarial
from sfumato.train.settings import TrainSettings


def dcgan() -> TrainSettings:
    """A generator of images of any size, with or without classes. Relativistic loss, lazy R1 and R2, no batch normalisation."""
    return TrainSettings(
        model=networks.Config(normalise="pixel"),
        # With more weight on the classes, a few more images show the wanted class, and the images of a class vary less.
        objective=adversarial.Config(classify=0.1, augment=augment.Config(shift=0.125)),
        images=1_000_000,
        batch=32,
        lr=1e-3,
        lr_end=0.1,
        lr_warmup=2_000,
        beta1=0.0,
        beta2=0.95,
        ema=20_000,
    )


def dcgan_classic() -> TrainSettings:
    """The DCGAN of the paper, network and training: the baseline of comparisons."""
    return TrainSettings(
        model=networks.Config(
            latent_dim=100,
            width=64,
            discriminator_width=64,
            normalise="batch",
            upsample="transposed",
            downsample="strided",
            discriminator_normalise="batch",
            generator_activation="relu",
            output="up-tanh",
            minibatch_deviation=False,
            init="normal",
            classes=0,
        ),
        objective=adversarial.Config(loss="non-saturating", r1=0.0, r2=0.0),
        batch=64,
        lr=2e-4,
        lr_end=1.0,
        beta1=0.5,
        beta2=0.999,
        ema=0,
        images=1_000_000,
    )


def fashion() -> TrainSettings:
    """The bundled `fashion`: Fashion-MNIST with its classes."""
    return dataclasses.replace(
        dcgan(),
        data="fashion-mnist",
        model=networks.Config(
            latent_dim=48,
            width=40,
            blocks=1,
            upsample="transposed",
            downsample="strided",
            discriminator_width=64,
            discriminator_blocks=1,
            lowest=7,
        ),
        objective=adversarial.Config(),
        images=320_000,
        lr=5e-4,
        lr_warmup=5_000,
        by_class=False,
    )


def digits() -> TrainSettings:
    """The bundled `digits`: MNIST with its classes."""
    base = fashion()
    return dataclasses.replace(
        base,
        data="mnist",
        model=changed(base.model, width=32),
        objective=adversarial.Config(classify=0.5),
        images=256_000,
    )


def stylegan() -> TrainSettings:
    """A style-based generator. The size of the images decides the penalty, and the --budget decides the size of the network."""
    return dataclasses.replace(
        dcgan(),
        model=styled.Config(
            width=32,
            discriminator_width=24,
            mapping=2,
            mapping_rate=0.1,
            filtered=False,
            generator="plain",
            discriminator_layers=1,
            discriminator="plain",
            judging="added",
        ),
        # No shifts: in a short training, shifts keep the discriminator from learning the fine texture of the images.
        objective=adversarial.Config(r1=None, r2=None, penalty_end=0.1, penalty_every=8),
        lr=1.2e-2,
        lr_warmup=10_000,
        lr_end=0.03,
        beta2=0.99,
        grow=4_000_000,
    )


def cats() -> TrainSettings:
    """The bundled `cats`: faces of cats of 64 pixels."""
    return dataclasses.replace(stylegan(), data="cats64", augment=augment.Config(flip=0.5), images=400_000)


def eurosat() -> TrainSettings:
    """The bundled `eurosat`: satellite tiles of ten kinds of land, 64 pixels."""
    return dataclasses.replace(stylegan(), data="eurosat", augment=augment.Config(flip=0.5, turn=0.5), images=400_000)


def glyphs() -> TrainSettings:
    """Drawn letters and digits: the training of `sfumato demo`, which takes about a minute."""
    return dataclasses.replace(
        digits(),
        data="glyphs",
        model=networks.Config(latent_dim=32, width=24, discriminator_width=32, lowest=7),
        objective=adversarial.Config(r1=1.0, r2=1.0, penalty_end=0.1),
        images=60_032,
        batch=32,
        lr=1e-3,
        ema=2_000,
        lr_warmup=1_000,
        log_every=1_000,
        sample_every=5_000,
    )
