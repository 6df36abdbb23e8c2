"""The search of an audit: distances of generated images to their nearest images, and the threshold from those of real images."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Images, PerImage, Vectors, to_bytes
from sfumato.data.dataset import Dataset
from sfumato.evaluation.features import feature_operations, feature_vectors
from sfumato.evaluation.generators import LEAST
from sfumato.evaluation.stages import generate_images, image_operations, stages
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.interval import wilson
from sfumato.metrics.neighbours import nearest
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store.loaded import Model

BY_CHANCE = 0.01
"""Share of real images that fall below a threshold."""
ENOUGH = round(1 / BY_CHANCE)
"""Fewest images, real or generated, of which that share is a whole image."""
MOST = 2000
"""Largest number of real images for a threshold."""


class Threshold(NamedTuple):
    """The distance below which a generated image is flagged."""

    limit: float
    by_chance: float
    """The share of other real images expected below it."""
    summary: str


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A generated image and the image nearest to it."""

    seed: int
    other: int
    """Number of a training image, or seed of a generated one."""
    distance: float
    flagged: bool
    """Whether the distance is below the threshold."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Distances of generated images to their nearest images, and of real images to theirs, from which the threshold comes."""

    name: str
    """`copied` or `duplicated`."""
    distances: PerImage
    others: list[int]
    """Number or seed of the image nearest to each generated one."""
    real: Float[Tensor, " _k"]
    """Distances of real images to the nearest other real image."""
    source: str
    """These real images, in words."""
    mutual: bool = False
    """Whether both images of a pair are generated: two images that are near then flag each other, and count as one event."""

    @property
    def threshold(self) -> Threshold:
        """The threshold from the distances of the real images."""
        return threshold(self.real, self.source)

    @property
    def fewest(self) -> int:
        """The number of real or of generated images, whichever is smaller."""
        return min(len(self.real), len(self.distances))

    @property
    def by_chance(self) -> float:
        """The largest share of other real images below the threshold, given how many of these lie below it."""
        return self._interval(self.real <= self.threshold.limit)[1]

    def share(self, protocol: Protocol) -> Measurement:
        """The share of generated images that are flagged."""
        limit = self.threshold
        flags = self.distances < limit.limit
        protocol = dataclasses.replace(
            self.measured(protocol),
            interval="95 %, other images from the same generator against the same threshold, Wilson",
            notes=f"share of generated images below the threshold; {limit.by_chance:.1%} would be by chance",
        )
        value = flags.double().mean().item()
        return Measurement(name=self.name, value=value, interval=self._interval(flags), higher_is_better=False, protocol=protocol)

    def closeness(self, protocol: Protocol) -> Measurement:
        """The median distance of generated images over that of real images."""
        usual = self.real.median()
        value = (self.distances.median() / usual).item() if usual > 0 else float("inf")
        notes = "median distance to the nearest training image, over that of real images: 1 is as far as they are, less is nearer"
        protocol = dataclasses.replace(self.measured(protocol), notes=notes)
        return Measurement(name="closeness", value=value, interval=None, higher_is_better=True, protocol=protocol)

    def measured(self, protocol: Protocol) -> Protocol:
        """`protocol` with the numbers of images and the threshold."""
        return dataclasses.replace(protocol, generated=len(self.distances), real=len(self.real), settings=self.threshold.summary)

    def neighbours(self, seed: int) -> list[Neighbour]:
        """Every generated image, of seeds `seed`, `seed` + 1, ..., with its nearest image; the nearest pairs first."""
        limit, pairs = self.threshold.limit, zip(self.distances.tolist(), self.others, strict=True)
        listed = [Neighbour(seed=seed + i, other=other, distance=d, flagged=d < limit) for i, (d, other) in enumerate(pairs)]
        return sorted(listed, key=lambda n: n.distance)

    def _interval(self, flags: Bool[Tensor, " _m"]) -> tuple[float, float]:
        """The interval of the share of `flags` that are set."""
        images = 2 if self.mutual else 1
        return wilson(int(flags.sum()) // images, max(1, len(flags) // images))


def threshold(distances: PerImage, source: str) -> Threshold:
    """The threshold from the `distances` of real images: one in a hundred lies below it; of fewer than a hundred none.

    `source` names these images in words.
    """
    if len(distances) >= ENOUGH:
        limit = distances.quantile(BY_CHANCE).item()
        return Threshold(limit, BY_CHANCE, f"threshold {limit:.4g}: {BY_CHANCE:.0%} of {source} are nearer")
    limit = distances.min().item()
    return Threshold(limit, 1 / (len(distances) + 1), f"threshold {limit:.4g}: none of {source} is nearer")


def search(
    model: Model, extractor: FeatureExtractor, train: Dataset, test: Dataset, *, count: int, seed: int, device: str
) -> tuple[Images, Search, Search]:
    """The generated images, their search for copies of training images, and that for duplicates among themselves."""
    rng = seeded_generator(seed, "audit")
    with stages("stages", _costs(model, extractor, train, test, count)) as stage:
        with stage("images"):
            images = generate_images(model, count, seed=seed, device=device)
        with stage("features of training images"):
            real = feature_vectors(extractor, train.pixels)
        with stage("features of generated images"):
            generated = feature_vectors(extractor, to_bytes(images))
        with stage("features of unseen images"):
            pixels, unseen, others, source = _unseen_images(extractor, real, train, test, rng)
        with stage("distances of unseen images"):
            real_distances, _ = nearest_either_way(extractor, pixels, unseen, others)
        with stage("distances of generated images"):
            distances, index = nearest_either_way(extractor, to_bytes(images), generated, real)
        with stage("duplicates"):
            fewer_real = real[torch.randperm(len(real), generator=rng)[:count]]
            fewer = generated[: len(fewer_real)]
            apart, other = nearest(fewer, fewer, exclude_self=True)
            between, _ = nearest(fewer_real, fewer_real, exclude_self=True)
    return (
        images,
        Search(name="copied", distances=distances, others=index.tolist(), real=real_distances, source=source),
        Search(
            name="duplicated",
            distances=apart,
            others=(other + seed).tolist(),
            real=between,
            source=f"{len(fewer_real)} training images, measured to each other,",
            mutual=True,
        ),
    )


def _costs(model: Model, extractor: FeatureExtractor, train: Dataset, test: Dataset, count: int) -> dict[str, float]:
    """The arithmetic operations of each stage."""
    feature, pair = feature_operations(extractor, train), 4.0 * extractor.feature_dim
    held_out = _held_out(train, test)
    unseen, fewer = min(MOST, len(test)) if held_out else _stand_ins(train), min(count, len(train))
    return {
        "images": count * image_operations(model),
        "features of training images": len(train) * feature,
        "features of generated images": count * feature,
        "features of unseen images": unseen * feature * held_out,
        "distances of unseen images": unseen * (feature + len(train) * pair),
        "distances of generated images": count * (feature + len(train) * pair),
        "duplicates": fewer * fewer * pair,
    }


def _held_out(train: Dataset, test: Dataset) -> bool:
    """Whether there are enough unseen images for a threshold."""
    return test is not train and len(test) >= LEAST


def _stand_ins(train: Dataset) -> int:
    """The number of training images in the place of unseen ones."""
    return min(MOST, max(LEAST, len(train) // 10))


def _unseen_images(
    extractor: FeatureExtractor, real: Vectors, train: Dataset, test: Dataset, rng: torch.Generator
) -> tuple[UInt8[Tensor, "_k c h w"], Float[Tensor, "_k d"], Float[Tensor, "_m d"], str]:
    """Images and features of real images, the features of the training images to compare them with, and their source in words."""
    if _held_out(train, test):
        pixels = test.pixels[torch.randperm(len(test), generator=rng)[:MOST]]
        return pixels, feature_vectors(extractor, pixels), real, f"{len(pixels)} real images that were not trained on"
    order, part = torch.randperm(len(real), generator=rng), _stand_ins(train)
    chosen, rest = order.split([part, len(real) - part])
    return train.pixels[chosen], real[chosen], real[rest], f"{part} training images, measured to the others,"


def nearest_either_way(
    extractor: FeatureExtractor, pixels: Bytes, vectors: Vectors, real: Float[Tensor, "_m d"], *, exclude_self: bool = False
) -> tuple[PerImage, Int64[Tensor, " n"]]:
    """The distance of each image, or of its mirror image if that is nearer, to the nearest training image, and the number of that.

    With `exclude_self`, the images are the training images, and none is its own neighbour, mirrored or not.
    """
    direct, first = nearest(vectors, real, exclude_self=exclude_self)
    mirrored, second = nearest(feature_vectors(extractor, pixels.flip(3)), real, exclude_self=exclude_self)
    return torch.minimum(direct, mirrored), torch.where(mirrored < direct, second, first)
