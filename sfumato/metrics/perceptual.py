"""Perceptual distance of pairs of images, by a network that learned from people's judgements, and perceptual path length.

lpips          mean distance of images to their references                     Zhang et al. 2018, https://arxiv.org/abs/1801.03924
path_length    distance of two images a small step apart in latent space,      Karras et al. 2019, https://arxiv.org/abs/1812.04948
               over the square of that step

In images of 8 bits, rounding would be most of a path length: all images here are float32.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, PerImage, Resized, Vectors
from sfumato.metrics.base import Measurement, Protocol, device_of, double, measuring
from sfumato.metrics.features import weights_hash
from sfumato.metrics.interval import average
from sfumato.models.roles.perceptual_metric import PerceptualMetric

Space = Literal["w", "z"]
"""The space of a path: styles or latents."""
EPSILON = 1e-4
"""The step along a path, as a share of its length."""
DROPPED = 0.01
"""Share of the pairs that are left out at each end: otherwise a few pairs with a jump would determine the mean."""
LARGEST = 256
"""Images with a larger side, in pixels, are averaged down by a whole factor before they are compared."""


def lpips(compare: PerceptualMetric, images: Images, reference: Float[Tensor, "..."], *, batch: int = 32) -> PerImage:
    """Distance of each image to its reference, on the CPU; 0 for equal images, lower is better. Raises ImageError for unequal shapes."""
    if images.shape != reference.shape:
        raise ImageError(f"images of shape {tuple(images.shape)} and reference of shape {tuple(reference.shape)} must be of one shape")
    device, distances = device_of(compare, images.device), []
    batches = list(zip(images.split(batch), reference.split(batch), strict=True))
    with measuring(compare):
        for part, reference_part in counted(batches, "batches of pairs"):
            distances.append(compare.distance(part.to(device), reference_part.to(device)).cpu())
    return torch.cat(distances)


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
    """The perceptual path length: the mean of `lengths` without the lowest and the highest hundredth; lower is smoother.

    `lengths` come from `path_lengths` with the same `space`, `ends` and `epsilon`. `name` and the weights of `compare` go into the
    protocol. Raises DataError for fewer than 100 lengths.
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
    synthesize: Callable[[Vectors], Images],
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
    """For each pair of latents, distance / `epsilon`² between the images at t and t + `epsilon` on the path between the two, float64.

    The path is straight in `w` and on the sphere in `z`; t is drawn uniformly, or is 0 with `ends`. `synthesize` gives the images of
    latents, and must depend on these alone (noise inputs stay the same); both images of a pair are in one batch. Raises SettingError
    unless `epsilon` is above 0.
    """
    if not epsilon > 0:
        raise SettingError(f"epsilon = {epsilon!r} must be above 0")
    path = {"w": _straight, "z": _spherical}[space]
    starts, stops = double(first), double(second)
    drawn = torch.rand(len(starts), generator=rng, dtype=torch.float64) if not ends else torch.zeros(len(starts), dtype=torch.float64)
    times = drawn.to(starts.device)[:, None]
    batches = list(zip(starts.split(batch), stops.split(batch), times.split(batch), strict=True))
    device, lengths = device_of(compare, first.device), []
    with measuring(compare):
        for start, stop, t in counted(batches, "batches of paths"):
            latents = torch.cat([path(start, stop, t), path(start, stop, t + epsilon)]).to(first)
            images, next_images = _shrunk(synthesize(latents).float()).to(device).chunk(2)
            lengths.append(double(compare.distance(images, next_images)).cpu() / epsilon**2)
    return torch.cat(lengths)


def without_tails(values: PerImage) -> Tensor:
    """`values` without those below the 1st and above the 99th percentile; values equal to a percentile stay."""
    low = values.quantile(DROPPED, interpolation="lower")
    high = values.quantile(1 - DROPPED, interpolation="higher")
    return values[(values >= low) & (values <= high)]


def _straight(a: Vectors, b: Vectors, t: Tensor) -> Vectors:
    """Along the straight line."""
    return a + (b - a) * t


def _spherical(a: Vectors, b: Vectors, t: Tensor) -> Vectors:
    """Along the great circle. Lengths change geometrically, which makes no difference to a network that normalises its latents."""
    length_a, length_b = (x.norm(dim=1, keepdim=True) for x in (a, b))
    angle = ((a / length_a) * (b / length_b)).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    direction = (((1 - t) * angle).sin() * a / length_a + (t * angle).sin() * b / length_b) / angle.sin()
    return direction * length_a ** (1 - t) * length_b**t


def _shrunk(images: Images) -> Resized:
    """`images`, averaged down by a whole factor if they are larger than `LARGEST`."""
    factor = max(1, min(images.shape[2:]) // LARGEST)
    return F.avg_pool2d(images, factor) if factor > 1 else images
