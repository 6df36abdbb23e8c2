"""Classification accuracy score: what a classifier learns from generated images alone (Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887).

It falls with every image that shows the wrong class, and with every kind of image that is never generated.
"""

import dataclasses
from pathlib import Path

from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import to_bytes
from sfumato.data.dataset import Dataset
from sfumato.evaluation.evaluate import compared, judge_classifier
from sfumato.generation.generate import class_names, generate, labels_of, sampler
from sfumato.metrics.base import Measurement
from sfumato.models.roles.classifier import Classifier
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.store.loaded import Model
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings


def generated(model: Model, count: int, *, seed: int = 0, device: str = "auto") -> Dataset:
    """`count` generated images with the labels that were asked for, as a data set."""
    source = sampler(model)
    names = tuple(class_names(source))
    labels = labels_of(source, range(seed, seed + count), None)
    made = generate(source, count, seed=seed, device=device)
    return Dataset(name="generated", pixels=to_bytes(made), labels=labels, classes=names, terms="generated")


def accuracy_score(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    count: int = 60_000,
    seed: int = 0,
    settings: TrainSettings | None = None,
    watch: Callback | None = None,
    device: str = "auto",
) -> Measurement:
    """Accuracy of a classifier trained on `count` generated images and on nothing else, on the real test images of `data`.

    `data` is by default what `model` was trained on. `settings` are those of the classifier; by default the recipe
    `fashion-classifier`'s, without anything tuned to the result. Raises SettingError if the classes of `data` are not the model's.
    """
    test = check(model, data)
    source = sampler(model)
    made = generated(source, count, seed=seed, device=device)
    asked = settings or recipe("fashion-classifier")
    pupil = fit(dataclasses.replace(asked, data="generated"), data=made, watch=watch, device=device)
    if pupil.interrupted:
        raise KeyboardInterrupt
    network = weights.opened(pupil, Classifier, otherwise="is no classifier; give the settings of one").network
    overall = judge_classifier(network, dataclasses.replace(test, classes=made.classes))[0]
    notes = f"classifier trained on {count:,} generated images alone, {asked.images:,} images seen"
    return dataclasses.replace(overall, name="accuracy_score", protocol=dataclasses.replace(overall.protocol, seed=seed, notes=notes))


def check(model: Model, data: str | Path | Dataset | None = None) -> Dataset:
    """The test images that `accuracy_score` measures with. Raises DataError if none is held out, SettingError for other classes."""
    source = sampler(model)
    network = source.network
    train, test = compared(source, data)
    if test is train and not isinstance(data, Dataset):
        raise DataError(f"no image of {test.name} is held out, and an accuracy score needs some that were not trained on; add images")
    if not network.classes or len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the model {network.classes}; an accuracy score needs the same")
    return test
