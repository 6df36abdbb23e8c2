"""What a network that learned from people says of a generator: how smoothly it moves, and how different its images look."""

import dataclasses
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Images, Labels, Maps, PerImage, Vectors, to_images
from sfumato.data.dataset import Dataset
from sfumato.generation.generate import class_names, generate, labels_of, sampler
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.features import weights_hash
from sfumato.metrics.interval import average
from sfumato.metrics.perceptual import lpips, path_lengths, smoothness
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import weights
from sfumato.store.loaded import Model

MOST = 2000
"""Pairs that are measured where more are asked for."""
LEAST = 100
"""Pairs without which a mean without its tails says nothing."""


def comparer(name: str, count: int = MOST) -> PerceptualMetric:
    """The network called `name` that compares two images, for `count` pairs. Raises SettingError for one that does not, or too few."""
    _enough(count)
    otherwise = "does not compare two images; lpips-squeeze, lpips-alex and lpips-vgg do"
    return weights.opened(name, PerceptualMetric, otherwise=otherwise).network


def _enough(count: int) -> None:
    if count < LEAST:
        raise SettingError(f"count = {count} pairs are too few for a path length; give at least {LEAST}")


def perceptual_diversity(model: Model, real: Dataset, compare: PerceptualMetric, *, name: str, count: int, seed: int) -> list[Measurement]:
    """Perceptual path length of `count` pairs of latents, and the mean distance of so many pairs of generated and of `real` images.

    2,000 pairs are the most that are measured. Where the network knows the classes of `real`, the same of pairs of one class: a generator
    may make one image of each class and still look various.
    Paths lead through W, straight, where the network maps latents to styles, and through Z, on the sphere, where it does not; both ends
    are of one class. Raises SettingError for fewer than 100 pairs.
    """
    source = sampler(model)
    network, count = source.network, min(count, MOST)
    _enough(count)
    rng = seeded_generator(seed, "looks")
    space = "w" if network.styles > 1 else "z"
    lengths = paths(network, compare, space=space, count=count, rng=rng)
    report = [smoothness(lengths, compare, space=space, rng=rng, name=name, notes="both ends of one class" if network.classes else "")]
    made = generate(source, 2 * count, seed=seed, device=str(next(network.parameters()).device))
    protocol = Protocol(features=name, weights=weights_hash(compare), settings="mean distance of two images", generated=2 * count)
    chosen = torch.randperm(len(real), generator=rng)[: 2 * count]
    known = dataclasses.replace(protocol, generated=None, real=len(chosen), reference=f"{real.name} {real.fingerprint[:8]}")
    labels = labels_of(source, range(seed, seed + 2 * count), None)
    ours = "", made, labels, protocol
    theirs = "real_", real.pixels[chosen], None if real.labels is None else real.labels[chosen], known
    for whose, images, _, how in (ours, theirs):
        # Generated in turn, classes would always meet their neighbours.
        found = pairs(compare, images[torch.randperm(len(images), generator=rng)])
        report.append(average(f"{whose}variety", found, higher_is_better=True, protocol=how, rng=rng))
    if class_names(source) != list(real.classes):
        return report
    for whose, images, kinds, how in (ours, theirs):
        if kinds is not None:
            found = pairs(compare, images[partners(kinds, rng)])
            alike = dataclasses.replace(how, settings="mean distance of two images of one class")
            report.append(average(f"{whose}variety_in_class", found, higher_is_better=True, protocol=alike, rng=rng))
    return report


def partners(labels: Labels, rng: torch.Generator) -> Int64[Tensor, " _even"]:
    """Which images to take so that the first and the second, the third and the fourth, and so on are of one class, drawn at random."""
    mixed = torch.randperm(len(labels), generator=rng)
    kinds = [mixed[labels[mixed] == kind] for kind in labels.unique()]
    return torch.cat([members[: len(members) // 2 * 2] for members in kinds])


@torch.no_grad()
def paths(network: StyleGenerator, compare: PerceptualMetric, *, space: Literal["w", "z"], count: int, rng: torch.Generator) -> PerImage:
    """What `path_lengths` finds between random latents, as many of each class as can be."""
    found, where = [], next(network.parameters()).device
    for kind in range(max(1, network.classes)):
        n = len(range(kind, count, max(1, network.classes)))
        ends = [torch.randn(n, network.latent_dim, generator=rng).to(where) for _ in range(2)]
        if space == "w":
            ends = [network.map_latent(z, _all(kind, z, network))[:, 0] for z in ends]

        def images(x: Vectors, kind: int = kind) -> Images:
            labels = _all(kind, x, network)
            shown = network.synthesize(x[:, None].expand(-1, network.styles, -1), labels) if space == "w" else network.sample(x, labels)
            return coloured(shown, compare)

        found.append(path_lengths(images, compare, ends[0], ends[1], space=space, rng=rng))
    return torch.cat(found)


def pairs(compare: PerceptualMetric, images: Images | Bytes) -> Float[Tensor, " _pairs"]:
    """Distances of the first image to the second, the third to the fourth, and so on."""
    shown = to_images(images) if images.dtype == torch.uint8 else images
    shown = coloured(shown[: len(shown) // 2 * 2], compare)
    return lpips(compare, shown[::2], shown[1::2])


def coloured(images: Tensor, compare: PerceptualMetric) -> Maps:
    """`images` with as many channels as `compare` takes: grey in all three. Raises SettingError for others."""
    if images.shape[1] not in (1, compare.channels):
        raise SettingError(f"that network compares images of {compare.channels} channels; these have {images.shape[1]}")
    return images.expand(-1, compare.channels, -1, -1)


def _all(kind: int, like: Tensor, network: StyleGenerator) -> Labels | None:
    return torch.full((len(like),), kind, device=like.device) if network.classes else None
