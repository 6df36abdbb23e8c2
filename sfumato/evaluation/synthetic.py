"""Labelled images of a generator for training: made class by class, without copies of training images and without other classes.

    generator ─ seeds of a class ─ nearer to a training image than 99 in 100 of these are to each other? ─ of its class? ─> kept

Both filters come from the training images alone: the threshold from their distances, and the classifier is trained on them.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.core.tensors import Bytes, Labels, PerImage, Vectors, to_bytes
from sfumato.data.dataset import Dataset
from sfumato.evaluation.audit_search import nearest_either_way, threshold
from sfumato.evaluation.features import class_scores, feature_vectors, matching_features, shape_of
from sfumato.generation.generate import CHUNK, class_names, generate
from sfumato.metrics.base import measuring
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.models.roles.generator import Generator
from sfumato.store.loaded import LoadedModel

TRIES = 10
"""Images that are generated at most for each image that is wanted."""


@dataclass(frozen=True, kw_only=True)
class CopyTest:
    """The distance to training images below which an image counts as a copy."""

    extractor: FeatureExtractor
    """Network in whose features distances are measured."""
    real: Vectors
    """Features of the training images."""
    limit: float
    """The first percentile of the distances of training images to each other."""

    def distances(self, pixels: Bytes) -> tuple[PerImage, Labels]:
        """The distance of each image, or of its mirror image, to the nearest training image, and the number of that image."""
        return nearest_either_way(self.extractor, pixels, feature_vectors(self.extractor, pixels), self.real)

    def share(self, pixels: Bytes) -> float:
        """The memorisation rate: the share of images that count as copies, in [0, 1]."""
        return (self.distances(pixels)[0] <= self.limit).double().mean().item()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The images that passed both filters."""

    images: Dataset
    """With the classes of the training images."""
    seeds: list[int]
    nearest: list[int]
    """Number of the training image that is nearest to each image."""
    distances: list[float]
    generated: int
    """Number of generated images."""
    copies: int
    """Number of them that were left out as copies."""
    off_class: int
    """Number of the others that were left out because the classifier sees another class."""

    @property
    def summary(self) -> str:
        """The numbers in one line."""
        left = f"{self.copies:,} left out as copies, {self.off_class:,} of another class"
        return f"{len(self.images):,} of {self.generated:,} generated images kept ({left})"


def copy_test(train: Dataset) -> CopyTest:
    """The test for copies of images of `train`, in the features that `audit` would take."""
    extractor = matching_features(shape_of(train), train).network
    with measuring(extractor):
        real = feature_vectors(extractor, train.pixels)
        apart, _ = nearest_either_way(extractor, train.pixels, real, real, exclude_self=True)
    return CopyTest(extractor=extractor, real=real, limit=threshold(apart, "training images").limit)


def own_classes(source: LoadedModel[Generator], train: Dataset) -> list[int]:
    """For each class of `train`, the number of that class in the generator.

    Names decide; a generator that does not name its classes has them in the same order. Raises SettingError if the classes differ.
    """
    count = source.network.classes
    if not count:
        raise SettingError(f"{source} was trained without classes, so that its images have no labels; name a generator with classes")
    names = class_names(source)
    if set(names) == set(train.classes):
        return [names.index(name) for name in train.classes]
    if count == len(train.classes) and not source.card.data.class_names:
        return list(range(count))
    raise SettingError(f"{source} has the classes {', '.join(names)}, {train.name} has {', '.join(train.classes)}; they must be the same")


def labelled_images(
    source: LoadedModel[Generator],
    train: Dataset,
    per_class: int,
    *,
    classifier: Classifier,
    copies: CopyTest,
    seed: int = 0,
    device: str = "auto",
) -> Kept:
    """`per_class` images of each class of `train` that pass both filters, or as many as there are among ten times as many seeds.

    The seeds of a class are those from `seed` on that show it without a label: `generate(model, seeds=...)` gives the same images. Raises
    SettingError as `own_classes`, and if no image passes.
    """
    own = own_classes(source, train)
    parts = [
        _of_class(source, label, own[label], per_class, classifier, copies, seed, device) for label in counted(range(len(own)), "classes")
    ]
    kept = _joined(parts)
    if not kept.seeds:
        raise SettingError(f"none of {kept.generated:,} images of {source} passed the filters: all are copies, or of other classes")
    return dataclasses.replace(kept, images=dataclasses.replace(kept.images, classes=train.classes))


def _of_class(
    source: LoadedModel[Generator],
    label: int,
    own: int,
    per_class: int,
    classifier: Classifier,
    copies: CopyTest,
    seed: int,
    device: str,
) -> Kept:
    """Images of one class, the number `label` of the data and `own` of the generator."""
    count = source.network.classes
    first = seed + (own - seed) % count
    parts: list[Kept] = []
    tried = passed = 0
    while passed < per_class and tried < TRIES * per_class:
        size = min(-(-(per_class - passed) // CHUNK) * CHUNK, 256)
        seeds = [first + (tried + k) * count for k in range(size)]
        parts.append(_filtered(source, seeds, label, own, classifier, copies, device))
        tried, passed = tried + size, passed + len(parts[-1].seeds)
    kept = _joined(parts)
    images = kept.images.selected(torch.arange(passed) < per_class)
    keep = slice(per_class)
    return dataclasses.replace(kept, images=images, seeds=kept.seeds[keep], nearest=kept.nearest[keep], distances=kept.distances[keep])


def _filtered(
    source: LoadedModel[Generator],
    seeds: Sequence[int],
    label: int,
    own: int,
    classifier: Classifier,
    copies: CopyTest,
    device: str,
) -> Kept:
    """Those images of `seeds` that pass both filters."""
    pixels = to_bytes(generate(source, seeds=seeds, label=class_names(source)[own], device=device).as_subclass(Tensor))
    distances, nearest = copies.distances(pixels)
    with measuring(classifier):
        right = class_scores(classifier, pixels).argmax(dim=1) == label
    copied = distances <= copies.limit
    kept = ~copied & right
    return Kept(
        images=_labelled(pixels[kept], torch.full((int(kept.sum()),), label)),
        seeds=_chosen(seeds, kept),
        nearest=nearest[kept].tolist(),
        distances=distances[kept].tolist(),
        generated=len(seeds),
        copies=int(copied.sum()),
        off_class=int((~copied & ~right).sum()),
    )


def _joined(parts: Sequence[Kept]) -> Kept:
    """The images of all parts in one."""
    labels = [part.images.labels for part in parts if part.images.labels is not None]
    return Kept(
        images=_labelled(torch.cat([part.images.pixels for part in parts]), torch.cat(labels)),
        seeds=[seed for part in parts for seed in part.seeds],
        nearest=[number for part in parts for number in part.nearest],
        distances=[distance for part in parts for distance in part.distances],
        generated=sum(part.generated for part in parts),
        copies=sum(part.copies for part in parts),
        off_class=sum(part.off_class for part in parts),
    )


def _labelled(pixels: Bytes, labels: Labels) -> Dataset:
    return Dataset(name="synthetic", pixels=pixels, labels=labels, terms="generated")


def _chosen(seeds: Sequence[int], kept: Bool[Tensor, " n"]) -> list[int]:
    return [seed for seed, keep in zip(seeds, kept.tolist(), strict=True) if keep]
