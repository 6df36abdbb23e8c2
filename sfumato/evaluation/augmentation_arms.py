"""The arms of an augmentation verdict: which images a classifier is trained on, and its training, alike in every arm.

    baseline    the real training images, with the recipe's augmentation
    synthetic   the same, and synthetic images in a ratio to them
    placebo     the same, and as many further repetitions of the real images

All arms of a split and a seed have equally many steps, the same schedule and the same first weights.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool
from torch import Tensor

from sfumato.core.config import changed, family
from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import derive_seed, seeded_generator
from sfumato.data.dataset import Dataset
from sfumato.data.mixed import MixedDataset
from sfumato.evaluation.features import class_scores
from sfumato.metrics.base import measuring
from sfumato.models.roles.classifier import Classifier
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings

Source: TypeAlias = Callable[[Dataset, int], Dataset]
"""Gives synthetic images for the training images of a split: as many of each class as the number says, or more."""

VALIDATION = 0.2
"""Share of the images of each class on which the ratio is chosen, if all images are used."""
MOST_VALIDATION = 100
"""Images of each class on which the ratio is chosen, if a split takes only some for training."""
PASSES, LEAST_IMAGES = 30, 6_400
"""Default length of a training: passes over the images of the largest arm, and images at least."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The real images of one split, drawn class by class."""

    train: Dataset
    validation: Dataset


def draw_split(pool: Dataset, per_class: int | None, *, seed: int, number: int) -> Split:
    """Split `number`: `per_class` images of each class to train on and up to 100 others to choose with; if None, four fifths and the rest.

    Raises DataError if a class has too few images.
    """
    assert pool.labels is not None
    train, validation = torch.zeros(len(pool), dtype=torch.bool), torch.zeros(len(pool), dtype=torch.bool)
    for label, name in enumerate(pool.classes):
        rows = (pool.labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=seeded_generator(seed, "split", number, label))]
        most = len(rows) - max(1, round(VALIDATION * len(rows)))
        count = most if per_class is None else per_class
        if not 1 <= count < len(rows):
            wanted = "2 are the least" if per_class is None else f"{per_class + 1} are the least: some choose the ratio"
            raise DataError(f"the class {name!r} of {pool.name} has {len(rows)} training images, and {wanted}; add images")
        train[rows[:count]] = True
        validation[rows[count:] if per_class is None else rows[count : count + MOST_VALIDATION]] = True
    return Split(train=pool.selected(train), validation=pool.selected(validation))


def small_classifier() -> TrainSettings:
    """The recipe `classifier` with a network of 30 thousand weights, so that the trainings of a verdict take minutes together."""
    settings = recipe("classifier")
    return dataclasses.replace(settings, model=changed(settings.model, widths=(16, 32, 64), depth=1, hidden=(64,)), batch=64)


def arm_settings(classifier: TrainSettings | None, largest: int, images: int | None) -> TrainSettings:
    """The settings of every arm: those of the recipe without validation, its schedule over `images` images.

    By default the length is 30 passes over the `largest` images of an arm, at least 6,400 images and at most the length of the recipe: a
    shorter training would hide what the additional images of that arm can teach. Raises SettingError if `classifier` trains no classifier,
    or for a length that is less than a batch.
    """
    settings = classifier or small_classifier()
    if family(settings.objective) != "cross_entropy":
        raise SettingError(f"classifier: the objective {family(settings.objective)} trains no classifier; give a recipe such as classifier")
    length = images or min(settings.images, max(LEAST_IMAGES, PASSES * largest))
    if length < settings.batch:
        raise SettingError(f"images = {length} is less than a batch of {settings.batch}; give more")
    share = length / settings.images
    return dataclasses.replace(
        settings,
        data="arm",
        validation=0.0,
        budget="",
        images=length,
        lr_warmup=min(settings.lr_warmup, length // 10),
        ema=min(settings.ema, max(settings.batch, round(settings.ema * share))),
    )


def trained(settings: TrainSettings, data: Dataset, *, seed: int, device: str) -> Classifier:
    """The classifier of one arm. Raises KeyboardInterrupt if its training is interrupted."""
    model = fit(dataclasses.replace(settings, seed=derive_seed(seed, "arm") >> 33), data=data, device=device)
    if model.interrupted:
        raise KeyboardInterrupt
    return weights.opened(model, Classifier, otherwise="is no classifier; give the settings of one").network


def with_placebo(real: Dataset, ratio: float, *, seed: int) -> MixedDataset:
    """`real` with `ratio` times as many repetitions of its own images, drawn as evenly as possible."""
    assert real.labels is not None
    times = max(1, math.ceil(ratio))
    repeated = dataclasses.replace(real, pixels=real.pixels.repeat(times, 1, 1, 1), labels=real.labels.repeat(times), positions=None)
    return MixedDataset.mix(real, repeated, ratio=ratio, seed=seed)


def right_answers(network: Classifier, data: Dataset) -> Bool[Tensor, " n"]:
    """Whether the classifier gives each image of `data` its class."""
    assert data.labels is not None
    with measuring(network):
        return class_scores(network, data.pixels).argmax(dim=1) == data.labels
