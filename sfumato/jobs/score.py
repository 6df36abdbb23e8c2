"""Classification accuracy score: what a classifier learns from generated images alone (Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887).

It falls with every image that shows the wrong class, and with every kind of image that is never generated.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.core.image import to_bytes
from sfumato.data.dataset import Dataset
from sfumato.data.load import load
from sfumato.jobs.evaluate import judge_classifier
from sfumato.jobs.generate import class_names, generate, sampler
from sfumato.metrics.base import Measurement
from sfumato.recipes import recipe
from sfumato.train.log import Watch
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings


def generated(model: str | Path | nn.Module, count: int, *, seed: int = 0) -> Dataset:
    """`count` generated images with the labels that were asked for, as a data set."""
    network = sampler(model)
    names = tuple(class_names(network))
    labels = torch.arange(seed, seed + count) % len(names) if names else None
    return Dataset(name="generated", pixels=to_bytes(generate(network, count, seed=seed)), labels=labels, classes=names, terms="generated")


def accuracy_score(
    model: str | Path | nn.Module,
    data: str,
    *,
    count: int = 60_000,
    seed: int = 0,
    settings: TrainSettings | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """Accuracy on the real test images of `data` of a classifier trained on `count` generated images and on nothing else.

    `settings` are those of the classifier; by default the recipe `fashion-classifier`'s, without anything tuned to the result.
    """
    made = generated(model, count, seed=seed)
    asked = settings or recipe("fashion-classifier")
    network: Any = fit(dataclasses.replace(asked, data="generated"), data=made, watch=watch)
    test = load(data, part="test", size=sampler(model).size, channels=sampler(model).channels)
    overall = judge_classifier(network, dataclasses.replace(test, classes=made.classes))[0]
    notes = f"classifier trained on {count:,} generated images alone, {asked.images:,} images seen"
    return dataclasses.replace(overall, name="accuracy_score", protocol=dataclasses.replace(overall.protocol, seed=seed, notes=notes))
