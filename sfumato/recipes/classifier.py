"""Classifiers."""

import dataclasses

from sfumato.data import augment
from sfumato.models import classifier as networks
from sfumato.objectives import cross_entropy
from sfumato.train.settings import TrainSettings


def classifier() -> TrainSettings:
    """A classifier of images in one folder for each class."""
    return TrainSettings(
        model=networks.Config(dropout=0.2),
        objective=cross_entropy.Config(smoothing=0.05),
        augment=augment.Config(shift=0.08, zoom=0.08),
        validation=0.05,
        images=600_000,
        batch=128,
        lr=3e-3,
        lr_warmup=20_000,
        weight_decay=0.02,
        ema=20_000,
        log_every=10_000,
        sample_every=60_000,
    )


def digits_classifier() -> TrainSettings:
    """The bundled `digits-classifier`: MNIST."""
    return dataclasses.replace(classifier(), data="mnist", validation=0.0, images=250_000)


def eurosat_classifier() -> TrainSettings:
    """The bundled `eurosat-classifier`: satellite tiles of ten kinds of land."""
    return dataclasses.replace(
        classifier(),
        data="eurosat",
        model=networks.Config(dropout=0.2, widths=(24, 48, 96, 144)),
        validation=0.0,
        augment=augment.Config(flip=0.5, turn=0.5, shift=0.1),
        images=160_000,
        batch=64,
        lr_warmup=8_000,
        ema=10_000,
    )


def fashion_classifier() -> TrainSettings:
    """The bundled `fashion-classifier`: Fashion-MNIST."""
    return dataclasses.replace(
        classifier(),
        data="fashion-mnist",
        validation=0.0,
        augment=augment.Config(flip=0.5, shift=0.075),
        images=540_000,
    )
