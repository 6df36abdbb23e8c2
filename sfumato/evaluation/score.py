"""Classification accuracy score: the accuracy, on real images, of a classifier that is trained on generated images alone.

The score falls with images that show the wrong class, and with kinds of images that are never generated (Ravuri & Vinyals 2019,
https://arxiv.org/abs/1905.10887).
"""

import dataclasses
from pathlib import Path

from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import to_bytes
from sfumato.data.dataset import Dataset
from sfumato.evaluation.evaluate import compared, judge_classifier
from sfumato.evaluation.stages import generate_images
from sfumato.generation.generate import class_names, labels_of, opened_generator
from sfumato.metrics.base import Measurement
from sfumato.models.roles.classifier import Classifier
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.store.loaded import Model
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings

COUNT = 60_000
"""Number of generated images that the classifier is trained on."""


def generated(model: Model, count: int = COUNT, *, seed: int = 0, device: str = "auto") -> Dataset:
    """A data set of `count` generated images with the labels that they were generated for. It reports its progress."""
    source = opened_generator(model)
    names = tuple(class_names(source))
    labels = labels_of(source, range(seed, seed + count), None)
    images = generate_images(source, count, seed=seed, device=device)
    return Dataset(name="generated", pixels=to_bytes(images), labels=labels, classes=names, terms="generated")


def accuracy_score(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    count: int = COUNT,
    images: Dataset | None = None,
    seed: int = 0,
    settings: TrainSettings | None = None,
    watch: Callback | None = None,
    device: str = "auto",
) -> Measurement:
    """The accuracy, on the real test images of `data`, of a classifier that is trained on `count` generated images alone.

    `data` is by default the data of the training. `images` are those that `generated` returned, if they are there already. `settings` are
    those of the classifier, by default the recipe `fashion-classifier`. `watch` follows the training. Raises SettingError if the classes of
    `data` are not those of the model, DataError if no test image is held out, KeyboardInterrupt if the training is interrupted.
    """
    test = check(model, data)
    source = opened_generator(model)
    images = generated(source, count, seed=seed, device=device) if images is None else images
    classifier_settings = settings or recipe("fashion-classifier")
    classifier = fit(dataclasses.replace(classifier_settings, data="generated"), data=images, watch=watch, device=device)
    if classifier.interrupted:
        raise KeyboardInterrupt
    network = weights.opened(classifier, Classifier, otherwise="is no classifier; give the settings of one").network
    overall = judge_classifier(network, dataclasses.replace(test, classes=images.classes))[0]
    notes = f"classifier trained on {len(images):,} generated images alone, {classifier_settings.images:,} images seen"
    return dataclasses.replace(overall, name="accuracy_score", protocol=dataclasses.replace(overall.protocol, seed=seed, notes=notes))


def check(model: Model, data: str | Path | Dataset | None = None) -> Dataset:
    """The test images of `accuracy_score`. Raises DataError if no image is held out, SettingError for other classes."""
    source = opened_generator(model)
    network = source.network
    train, test = compared(source, data)
    if test is train and not isinstance(data, Dataset):
        raise DataError(f"no image of {test.name} is held out, and an accuracy score needs images without training; add images")
    if not network.classes or len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the model {network.classes}; an accuracy score needs the same")
    return test
