"""Distances of generated images to real ones, beside the floor: the same distances between real images."""

import dataclasses

import torch

from sfumato.core.errors import DataError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Vectors, to_bytes
from sfumato.data.dataset import Dataset, Scenes
from sfumato.evaluation.features import (
    ComparisonFacts,
    choose_features,
    class_scores,
    feature_facts,
    feature_operations,
    feature_vectors,
    shape_of,
)
from sfumato.evaluation.roles import roles_of
from sfumato.evaluation.stages import distance_operations, generate_images, image_operations, stages
from sfumato.generation.generate import class_names, labels_of, opened_generator
from sfumato.metrics.base import Generated, Measurement, Protocol
from sfumato.metrics.classification import classification_report
from sfumato.metrics.distribution import distribution_report
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.models.roles.generator import Generator
from sfumato.store.loaded import LoadedModel, Model

LEAST = 20
"""Fewest images for a distance between two sets."""


def judge_generator(
    model: Model, train: Dataset, test: Dataset, extractor: LoadedModel[FeatureExtractor], *, count: int, seed: int, halves: bool = False
) -> list[Measurement]:
    """Distances of `count` generated images to `train`, those of `test` to `train` as the floor, and the accuracy of classes.

    The floor is left out if `test` is `train` itself or has fewer than 20 images, and the protocols say so; with `halves` it is the
    distance of one half of `train` to the other. The accuracy of classes is the share of images in which a classifier as `extractor`
    recognises the class that was asked for. Raises DataError if `train` has fewer than 20 images.
    """
    if len(train) < LEAST:
        raise DataError(f"{train.name} has {len(train)} images to compare with, and {LEAST} are the least; name more with --data")
    source = opened_generator(model)
    unseen = train.pixels[:0] if test is train else test.pixels[:count]
    note = _reference_note(train, test, len(unseen), halves=halves)
    unseen = unseen if len(unseen) >= LEAST and not halves else unseen[:0]
    facts = ComparisonFacts(**feature_facts(extractor), reference=reference(train))
    with stages("stages", _costs(source, train, extractor, count=count, unseen=len(unseen), halves=halves)) as stage:
        with stage("images"):
            generated = to_bytes(generate_images(source, count, seed=seed, device=str(next(source.network.parameters()).device)))
        with stage("features of real images"):
            real = feature_vectors(extractor.network, train.pixels)
        with stage("features of generated images"):
            vectors = feature_vectors(extractor.network, generated)
        with stage("distances"):
            report = distribution_report(real, vectors, rng=seeded_generator(seed, "report"), seed=seed, notes=note, **facts)
        with stage("features of held-out images"):
            unseen_vectors = feature_vectors(extractor.network, unseen) if len(unseen) else real[:0]
        with stage("floor"):
            report += floor_of_halves(real, facts, count=count, seed=seed) if halves else []
            report += _floor(real, unseen_vectors, facts, count=count, seed=seed) if len(unseen) else []
        with stage("classes"):
            report += _class_accuracy(source, generated, extractor, facts, seed=seed)
    return report


def generator_operations(
    source: LoadedModel[Generator],
    train: Dataset,
    test: Dataset,
    extractor: LoadedModel[FeatureExtractor],
    *,
    count: int,
    halves: bool = False,
) -> float:
    """The arithmetic operations of `judge_generator`, roughly."""
    unseen = 0 if test is train or halves else min(count, len(test))
    return sum(_costs(source, train, extractor, count=count, unseen=unseen, halves=halves).values())


def judge_images(data: Dataset, features: Model | None, device: torch.device, *, count: int, seed: int) -> list[Measurement]:
    """Distances of one half of `data`, at most `count` images, to as many others: a generator is not expected to come below them.

    Raises DataError for fewer than 40 images.
    """
    if len(data) < 2 * LEAST:
        raise DataError(f"{data.name} has {len(data)} images; for the distance of one half to the other {2 * LEAST} are the least")
    extractor = choose_features(features, shape_of(data), data).to(device)
    half = min(count, len(data) // 2)
    costs = {
        "features": len(data) * feature_operations(extractor.network, data),
        "floor": distance_operations(half, half, extractor.network.feature_dim),
    }
    with stages("stages", costs) as stage:
        with stage("features"):
            real = feature_vectors(extractor.network, data.pixels)
        with stage("floor"):
            facts = ComparisonFacts(**feature_facts(extractor), reference=reference(data))
            return floor_of_halves(real, facts, count=count, seed=seed)


def floor_of_halves(real: Vectors, facts: ComparisonFacts, *, count: int, seed: int) -> list[Measurement]:
    """Distances of a random half of `real`, at most `count` vectors, to as many others; none if a half has fewer than 20.

    `facts` goes into the protocol.
    """
    half = min(count, len(real) // 2)
    if half < LEAST:
        return []
    first, second = real[torch.randperm(len(real), generator=seeded_generator(seed, "halves"))[: 2 * half]].chunk(2)
    notes = "one half of the images against the other, drawn at random"
    floor = distribution_report(first, second, rng=seeded_generator(seed, "report"), notes=notes, **facts)
    return [_renamed(m, f"floor_{m.name}") for m in floor]


def reference(data: Dataset | Scenes) -> str:
    """Name and fingerprint of a data set, for protocols."""
    return f"{data.name} {data.fingerprint[:8]}"


def _reference_note(train: Dataset, test: Dataset, unseen: int, *, halves: bool) -> str:
    """The images that generated ones are compared with and, if there is no floor, the reason."""
    part = "images" if test is train else "images of the training part"
    reason = f"; no floor, for which {LEAST} held-out images are the least, and there are {unseen}; --whole takes one half for it"
    return f"against the {len(train)} {part} of {train.name}{'' if halves or unseen >= LEAST else reason}"


def _costs(
    source: LoadedModel[Generator], train: Dataset, extractor: LoadedModel[FeatureExtractor], *, count: int, unseen: int, halves: bool
) -> dict[str, float]:
    """The arithmetic operations of each stage."""
    feature, dimension = feature_operations(extractor.network, train), extractor.network.feature_dim
    first = min(count, len(train) // 2) if halves else len(train)
    second = first if halves else unseen
    return {
        "images": count * image_operations(source),
        "features of real images": len(train) * feature,
        "features of generated images": count * feature,
        "distances": distance_operations(len(train), count, dimension),
        "features of held-out images": unseen * feature,
        "floor": distance_operations(first, second, dimension) if second else 0.0,
        "classes": count * feature if _shares_classes(source, extractor) else 0.0,
    }


def _floor(real: Vectors, unseen: Generated, facts: ComparisonFacts, *, count: int, seed: int) -> list[Measurement]:
    """Distances of held-out images to the training images."""
    notes = f"only {len(unseen)} images: compare with --count {len(unseen)}" if len(unseen) < count else ""
    floor = distribution_report(real, unseen, rng=seeded_generator(seed, "report"), notes=notes, **facts)
    return [_renamed(m, f"floor_{m.name}") for m in floor]


def _shares_classes(source: LoadedModel[Generator], extractor: LoadedModel[FeatureExtractor]) -> bool:
    """Whether `extractor` is a classifier of the classes of the generator `source`."""
    classifies = roles_of(extractor.network).classifier is not None
    return classifies and bool(source.network.classes) and class_names(source) == class_names(extractor)


def _class_accuracy(
    source: LoadedModel[Generator], generated: Bytes, extractor: LoadedModel[FeatureExtractor], facts: ComparisonFacts, *, seed: int
) -> list[Measurement]:
    """The share of generated images in which the classifier recognises the class that was asked for; none for other classes."""
    classifier, labels = roles_of(extractor.network).classifier, labels_of(source, range(seed, seed + len(generated)), None)
    if classifier is None or labels is None or not _shares_classes(source, extractor):
        return []
    notes = "share of images in which the classifier sees the class asked for"
    protocol = Protocol(features=facts["features"], weights=facts["weights"], seed=seed, notes=notes)
    report = classification_report(class_scores(classifier, generated), labels, classes=tuple(class_names(source)), protocol=protocol)
    return [_renamed(m, m.name.replace("accuracy", "shows_asked_class")) for m in report]


def _renamed(measurement: Measurement, name: str) -> Measurement:
    return dataclasses.replace(measurement, name=name)
