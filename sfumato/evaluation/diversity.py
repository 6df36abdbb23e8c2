"""Path length and variety of a generator, by a perceptual metric: the speed at which images change with the latent, and their distances."""

import dataclasses
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Images, Labels, Maps, PerImage, Styles, Vectors, to_images
from sfumato.data.dataset import Dataset
from sfumato.evaluation.stages import generate_images, image_operations, operations, stages
from sfumato.generation.generate import class_names, labels_of, opened_generator, sampler
from sfumato.metrics.base import Measurement, Protocol, device_of
from sfumato.metrics.features import weights_hash
from sfumato.metrics.interval import average
from sfumato.metrics.perceptual import lpips, path_lengths, smoothness
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

MOST = 2000
"""Largest number of pairs; a larger `count` is reduced to it."""
LEAST = 100
"""Smallest number of pairs for a mean without its tails."""


def comparer(name: str, count: int = MOST) -> PerceptualMetric:
    """The perceptual metric called `name`, for `count` pairs. Raises SettingError for another network, and for fewer than 100 pairs."""
    _check_count(count)
    otherwise = "does not compare two images; lpips-squeeze, lpips-alex and lpips-vgg do"
    return weights.opened(name, PerceptualMetric, otherwise=otherwise).network


def _check_count(count: int) -> None:
    if count < LEAST:
        raise SettingError(f"count = {count} pairs are too few for a path length; give at least {LEAST}")


class _Collection(NamedTuple):
    """Images whose variety is measured."""

    prefix: str
    """Begins the names of their measurements."""
    images: Images | Bytes
    labels: Labels | None
    protocol: Protocol


def perceptual_diversity(model: Model, real: Dataset, compare: PerceptualMetric, *, name: str, count: int, seed: int) -> list[Measurement]:
    """Perceptual path length of `count` pairs of latents, and the mean distance of as many pairs of generated and of `real` images.

    A `count` above 2,000 is reduced to it. If the network has the classes of `real`, the mean distance within classes follows: a generator
    with one image of each class would still show a large distance between any two.
    Paths are straight in W if the network maps latents to styles, else on the sphere in Z; both ends have the same class. Raises
    SettingError for fewer than 100 pairs.
    """
    source, count = opened_generator(model), min(count, MOST)
    network = source.network
    _check_count(count)
    rng = seeded_generator(seed, "looks")
    space = "w" if network.styles > 1 else "z"
    with stages("stages", _costs(source, real, compare, count=count)) as stage:
        with stage("paths"):
            lengths = paths(network, compare, space=space, count=count, rng=rng)
        report = [smoothness(lengths, compare, space=space, rng=rng, name=name, notes="both ends of one class" if network.classes else "")]
        with stage("images"):
            images = generate_images(source, 2 * count, seed=seed, device=str(next(network.parameters()).device))
        protocol = Protocol(features=name, weights=weights_hash(compare), settings="mean distance of two images", generated=2 * count)
        chosen = torch.randperm(len(real), generator=rng)[: 2 * count]
        real_protocol = dataclasses.replace(protocol, generated=None, real=len(chosen), reference=f"{real.name} {real.fingerprint[:8]}")
        generated = _Collection("", images, labels_of(source, range(seed, seed + 2 * count), None), protocol)
        originals = _Collection("real_", real.pixels[chosen], None if real.labels is None else real.labels[chosen], real_protocol)
        for each in (generated, originals):
            with stage(f"{each.prefix}variety"):
                report.append(_variety(each, compare, rng))
        for each in (generated, originals):
            with stage(f"{each.prefix}variety_in_class"):
                if each.labels is not None and class_names(source) == list(real.classes):
                    report.append(_variety_in_class(each, each.labels, compare, rng))
    return report


def diversity_operations(source: LoadedModel[Generator], real: Dataset, compare: PerceptualMetric, *, count: int) -> float:
    """The arithmetic operations of `perceptual_diversity`, roughly."""
    return sum(_costs(source, real, compare, count=min(count, MOST)).values())


def _costs(source: LoadedModel[Generator], real: Dataset, compare: PerceptualMetric, *, count: int) -> dict[str, float]:
    """The arithmetic operations of each stage."""
    image = coloured(to_images(real.pixels[:1]), compare).to(device_of(compare, torch.device("cpu")))
    generation, comparison = image_operations(source), operations(compare, lambda: compare.distance(image, image))
    one_class = class_names(source) == list(real.classes)
    real_count = min(count, len(real) // 2)
    return {
        "paths": count * (2 * generation + comparison),
        "images": 2 * count * generation,
        "variety": count * comparison,
        "real_variety": real_count * comparison,
        "variety_in_class": count * comparison * (one_class and source.network.classes > 0),
        "real_variety_in_class": real_count * comparison * (one_class and real.labels is not None),
    }


def _variety(some: _Collection, compare: PerceptualMetric, rng: torch.Generator) -> Measurement:
    """The mean distance of random pairs."""
    # Images are generated with classes in turn: neighbours would never have the same class.
    distances = pairs(compare, some.images[torch.randperm(len(some.images), generator=rng)])
    return average(f"{some.prefix}variety", distances, higher_is_better=True, protocol=some.protocol, rng=rng)


def _variety_in_class(some: _Collection, labels: Labels, compare: PerceptualMetric, rng: torch.Generator) -> Measurement:
    """The mean distance of random pairs of the same class."""
    distances = pairs(compare, some.images[partners(labels, rng)])
    protocol = dataclasses.replace(some.protocol, settings="mean distance of two images of one class")
    return average(f"{some.prefix}variety_in_class", distances, higher_is_better=True, protocol=protocol, rng=rng)


def partners(labels: Labels, rng: torch.Generator) -> Int64[Tensor, " _even"]:
    """Indices of images in random order, of which the first and second, the third and fourth, and so on have the same class."""
    shuffled = torch.randperm(len(labels), generator=rng)
    members = [shuffled[labels[shuffled] == label] for label in labels.unique()]
    return torch.cat([each[: len(each) // 2 * 2] for each in members])


@torch.no_grad()
def paths(network: Generator, compare: PerceptualMetric, *, space: Literal["w", "z"], count: int, rng: torch.Generator) -> PerImage:
    """The `path_lengths` between `count` pairs of random latents, spread evenly over the classes."""
    lengths, device = [], next(network.parameters()).device
    for label in counted(range(max(1, network.classes)), "classes"):
        n = len(range(label, count, max(1, network.classes)))
        ends = [torch.randn(n, network.latent_dim, generator=rng).to(device) for _ in range(2)]
        styled = sampler(network).network if space == "w" else None
        if styled is not None:
            ends = [styled.map_latent(z, _all(label, z, network))[:, 0] for z in ends]

        def images(x: Vectors, label: int = label, styled: StyleGenerator | None = styled) -> Images:
            labels = _all(label, x, network)
            output = network.sample(x, labels) if styled is None else styled.synthesize(_in_all_layers(x, styled), labels)
            return coloured(output, compare)

        lengths.append(path_lengths(images, compare, ends[0], ends[1], space=space, rng=rng))
    return torch.cat(lengths)


def _in_all_layers(style: Vectors, network: StyleGenerator) -> Styles:
    """The same style for each layer of `network`."""
    return style[:, None].expand(-1, network.styles, -1)


def pairs(compare: PerceptualMetric, images: Images | Bytes) -> Float[Tensor, " _pairs"]:
    """Distances of the first image to the second, the third to the fourth, and so on; the last of an odd number is left out."""
    images = to_images(images) if images.dtype == torch.uint8 else images
    images = coloured(images[: len(images) // 2 * 2], compare)
    return lpips(compare, images[::2], images[1::2])


def coloured(images: Tensor, compare: PerceptualMetric) -> Maps:
    """`images` with the channels that `compare` takes: grey ones in each channel. Raises SettingError for other numbers of channels."""
    if images.shape[1] not in (1, compare.channels):
        raise SettingError(f"this network compares images with 1 or {compare.channels} channels; these have {images.shape[1]}")
    return images.expand(-1, compare.channels, -1, -1)


def _all(label: int, like: Tensor, network: Generator) -> Labels | None:
    """The same label for each row of `like`; None for a network without classes."""
    return torch.full((len(like),), label, device=like.device) if network.classes else None
