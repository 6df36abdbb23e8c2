"""What images look like to a network that learned from people: distances of pairs, and how smoothly a generator moves.

lpips          mean distance of images to their references                     Zhang et al. 2018, https://arxiv.org/abs/1801.03924
path_length    distance of images a small step apart in latent space, a step   Karras et al. 2019, https://arxiv.org/abs/1812.04948

A path length in images of 8 bits measures their rounding: here all is float32.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.core.tensors import Images, PerImage, Resized, Vectors
from sfumato.metrics.base import Measurement, Protocol, device_of, double, measuring
from sfumato.metrics.features import weights_hash
from sfumato.metrics.interval import average
from sfumato.models.roles.perceptual_metric import PerceptualMetric

Space = Literal["w", "z"]
EPSILON = 1e-4
DROPPED = 0.01
"""Share of the pairs left out at either end: a few that jump would decide the mean."""
LARGEST = 256
"""Larger images are averaged down to this before they are compared, by a whole factor."""


def lpips(compare: PerceptualMetric, images: Images, reference: Float[Tensor, "..."], *, batch: int = 32) -> PerImage:
    """Distance of each image to its reference, on the CPU; 0 for equal ones, lower is better. Raises ImageError for unequal shapes."""
    if images.shape != reference.shape:
        raise ImageError(f"images of shape {tuple(images.shape)} and reference of shape {tuple(reference.shape)} must be of one shape")
    where, found = device_of(compare, images.device), []
    with measuring(compare):
        for ours, theirs in zip(images.split(batch), reference.split(batch), strict=True):
            found.append(compare.distance(ours.to(where), theirs.to(where)).cpu())
    return torch.cat(found)


def smoothness(
    lengths: PerImage,
    compare: PerceptualMetric,
    *,
    space: Space,
    rng: torch.Generator,
    ends: bool = False,
    epsilon: float = EPSILON,
    name: str = "lpips",
    notes: str = "",
) -> Measurement:
    """The perceptual path length: the mean of what `path_lengths` found, without the lowest and the highest hundredth; lower is smoother.

    `name` and the weights of `compare` go into the protocol. Raises DataError for fewer than 100 lengths.
    """
    if len(lengths) < 1 / DROPPED:
        raise DataError(f"{len(lengths)} pairs are too few for a path length; give at least {1 / DROPPED:.0f}")
    kept = without_tails(lengths)
    protocol = Protocol(
        features=name,
        weights=weights_hash(compare),
        resize=f"whole factors down to {LARGEST}",
        generated=len(lengths),
        settings=f"space {space}, {'t = 0' if ends else 't in [0, 1)'}, epsilon = {epsilon:g}, {DROPPED:.0%} dropped at either end",
        notes=notes or "images float32, not clamped to bytes",
    )
    title = f"path_length_{space}{'_ends' if ends else ''}"
    return average(title, kept, higher_is_better=False, protocol=protocol, rng=rng)


def path_lengths(
    synthesise: Callable[[Vectors], Images],
    compare: PerceptualMetric,
    first: Vectors,
    second: Vectors,
    *,
    space: Space,
    rng: torch.Generator,
    ends: bool = False,
    epsilon: float = EPSILON,
    batch: int = 16,
) -> PerImage:
    """For each pair of latents, distance / `epsilon`² between the images at t and t + `epsilon` on the way from one to the other, float64.

    The way is straight in `w` and on the sphere in `z`; t is drawn uniformly, or 0 with `ends`. `synthesise` must depend on its latents
    alone (noise inputs the same each time) and gets the two of a pair in one batch. Raises SettingError unless `epsilon` is above 0.
    """
    if not epsilon > 0:
        raise SettingError(f"epsilon = {epsilon!r} must be above 0")
    way = {"w": _straight, "z": _round}[space]
    a, b = double(first), double(second)
    at = (torch.zeros if ends else lambda n, **k: torch.rand(n, generator=rng, **k))(len(a), dtype=torch.float64).to(a.device)[:, None]
    lengths = []
    with measuring(compare):
        where = device_of(compare, first.device)
        for start, stop, t in zip(a.split(batch), b.split(batch), at.split(batch), strict=True):
            latents = torch.cat([way(start, stop, t), way(start, stop, t + epsilon)]).to(first)
            here, there = _shrunk(synthesise(latents).float()).to(where).chunk(2)
            lengths.append(double(compare.distance(here, there)).cpu() / epsilon**2)
    return torch.cat(lengths)


def without_tails(values: PerImage) -> Tensor:
    """`values` without those below the 1st and above the 99th percentile; the percentiles themselves stay."""
    low = values.quantile(DROPPED, interpolation="lower")
    high = values.quantile(1 - DROPPED, interpolation="higher")
    return values[(values >= low) & (values <= high)]


def _straight(a: Vectors, b: Vectors, t: Tensor) -> Vectors:
    return a + (b - a) * t


def _round(a: Vectors, b: Vectors, t: Tensor) -> Vectors:
    """Along the great circle; lengths go over geometrically, which a network that normalises its latents does not see."""
    length_a, length_b = (x.norm(dim=1, keepdim=True) for x in (a, b))
    angle = ((a / length_a) * (b / length_b)).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    direction = (((1 - t) * angle).sin() * a / length_a + (t * angle).sin() * b / length_b) / angle.sin()
    return direction * length_a ** (1 - t) * length_b**t


def _shrunk(images: Images) -> Resized:
    factor = max(1, min(images.shape[2:]) // LARGEST)
    return F.avg_pool2d(images, factor) if factor > 1 else images
