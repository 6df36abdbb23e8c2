"""Proxy metrics of generated images, in features that need no training: cheap enough for every sheet, and good for a trend only."""

import math
from collections.abc import Iterable

import torch
from torch.nn import functional as F

from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Vectors, to_images
from sfumato.data.stream import Stream
from sfumato.metrics.frechet import frechet
from sfumato.metrics.grid import power, stands_out
from sfumato.models.roles.generator import Generator, latents
from sfumato.objectives.base import portions

COUNT = 256
"""Real images, and as many generated ones of the same classes."""
LEAST = 4
"""Images that a class must have among the real ones, for its diversity to be taken."""
NEAR = 0.25
"""Generated images are copies if they are nearer than this share of the median distance between real neighbours."""


@torch.no_grad()
def proxy_metrics(model: Generator, stream: Stream, *, batch: int = COUNT) -> dict[str, torch.Tensor]:
    """Figures of the images that `model` generates from the same latents at every call, `batch` at once, against the same real images.

    `frechet` is the distance of the two clouds of features, `unlike` that over the distance of a single average image, `diversity` the
    mean distance between generated images over that between real ones, `copies` the share of generated images that are nearly another
    one, `grid` how far their spectrum shows the lines of a grid (`metrics/grid.py`). With classes, `diversity_within` is the diversity
    among images of the same class, the mean over classes, and `diversity_least` that of the least various class. Fewer than two images
    have no figures; real images that are all the same have no diversity and no `copies`.
    """
    if len(stream.pixels) < 2:
        return {}
    chosen = torch.randperm(len(stream.pixels), generator=seeded_generator(0, "pulse, real"))[:COUNT].to(stream.device)
    z = latents(model, len(chosen), seeded_generator(0, "pulse")).to(stream.device)
    labels = stream.labels[chosen] if model.classes and stream.labels is not None else None
    parts = portions(len(chosen), batch)
    generated = _Glances(model.sample(z[part], None if labels is None else labels[part]).clamp(0, 1) for part in parts)
    truth = _Glances(to_images(stream.pixels[chosen[part]]) for part in parts)
    fake, real = generated.features, truth.features
    apart, usual = _distances(fake), _distances(real)
    near = NEAR * usual.amin(dim=1).median()
    figures = {"grid": torch.tensor(stands_out(truth.spectrum, generated.spectrum))}
    if (among_real := usual[usual.isfinite()]).any():
        figures["diversity"] = apart[apart.isfinite()].mean() / among_real.mean()
        figures["copies"] = (apart.amin(dim=1) < near).double().mean()
        figures |= {} if labels is None else _within_classes(apart, usual, labels)
    distance = frechet(real, fake) if torch.isfinite(fake).all() else math.inf
    figures["frechet"] = torch.tensor(distance)
    figures["unlike"] = torch.tensor(distance / max(1e-9, float(real.var(dim=0, correction=0).sum())))
    return {f"pulse/{name}": value.float().to(stream.device) for name, value in figures.items()}


class _Glances:
    """Features of many images, and the mean of their spectra, from a few images at a time."""

    def __init__(self, batches: Iterable[Images]) -> None:
        pairs = [(glance(images), power(images)) for images in batches]
        self.features: Vectors = torch.cat([features for features, _ in pairs])
        self.spectrum = torch.cat([spectra for _, spectra in pairs]).mean(dim=0)


def _within_classes(distances: torch.Tensor, usual: torch.Tensor, labels: Labels) -> dict[str, torch.Tensor]:
    """Mean distance between generated images of one class over that between real ones; nothing if no class has enough of them."""
    ratios = []
    for label in labels.unique():
        own = labels == label
        pairs = int(own.sum()) * (int(own.sum()) - 1)
        if pairs >= LEAST * (LEAST - 1):
            here, there = (each[own][:, own].fill_diagonal_(0).sum() for each in (distances, usual))
            ratios.append(here / there.clamp(min=1e-9))
    if not ratios:
        return {}
    return {"diversity_within": torch.stack(ratios).mean(), "diversity_least": torch.stack(ratios).amin()}


def glance(images: Images) -> Vectors:
    """Features of each image: mean colours on a 6 x 6 grid, and the amount of fine detail on a 4 x 4 grid."""
    detail = (images - F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)).abs()
    return torch.cat([F.adaptive_avg_pool2d(images, 6).flatten(1), 4 * F.adaptive_avg_pool2d(detail, 4).flatten(1)], dim=1)


def _distances(vectors: Vectors) -> torch.Tensor:
    """Distances between any two vectors; infinity from each to itself."""
    return torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
