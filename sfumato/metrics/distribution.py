"""Distances between a set of generated images and a set of real ones, all from one pair of sets of feature vectors.

frechet            difference of two Gaussians              biased by the number of images
frechet_infinity   the same, extrapolated to no bias        needs many images
kid                any difference, unbiased                 the most reliable for small sets
mind               any difference, along random lines       cheap in many dimensions
precision, density        do generated images look real?
recall, coverage          do generated images cover all kinds of real images?

Every number depends on the network that gives the features. Numbers from small networks rank models that are measured by the same
protocol. Published numbers come from other networks: do not compare them with these.
"""

import dataclasses
from functools import partial

import torch

from sfumato.core.progress import counted
from sfumato.core.tensors import Vectors
from sfumato.metrics.base import Generated, Measurement, Protocol
from sfumato.metrics.frechet import Moments, frechet, frechet_deletions, frechet_from_moments, frechet_infinity, frechet_parts
from sfumato.metrics.interval import jackknife, wilson
from sfumato.metrics.kernel import discrepancy, kid, kid_deletions
from sfumato.metrics.neighbours import density_coverage, density_coverage_deletions, precision_recall
from sfumato.metrics.sliced import mind, mind_deletions

__all__ = [
    "Moments",
    "density_coverage",
    "discrepancy",
    "distribution_report",
    "frechet",
    "frechet_from_moments",
    "frechet_infinity",
    "frechet_parts",
    "kid",
    "mind",
    "precision_recall",
]

JACKKNIFE = "95 %, other images from the same generator, jackknife over 10 parts"
WILSON = "95 %, other {} images against the same neighbourhoods, Wilson"
FEWEST = 6
"""Real images that the neighbourhoods of the density need: one more than their `k`."""


def distribution_report(
    real: Vectors,
    generated: Generated,
    *,
    features: str,
    rng: torch.Generator,
    weights: str = "",
    reference: str = "",
    resize: str = "none",
    dtype: str = "float32",
    seed: int | None = None,
    notes: str = "",
) -> list[Measurement]:
    """Fréchet distance, KID, MIND, precision, recall, density and coverage, each with its interval and protocol.

    If there are more real images than generated ones, all but the Fréchet distance use a random choice of as many. If there are more
    generated images than real ones, precision, recall, density and coverage use a random choice of as many. The Fréchet distance
    extrapolated to infinitely many images is in the list if the number of generated images is at least four times the dimension.
    The keywords except `rng` describe the vectors and go into the protocol: see `Protocol`.
    Raises DataError for fewer than 20 generated images or NaN, SettingError for fewer than 6 real ones.
    """
    protocol = Protocol(
        features=features,
        weights=weights,
        dimension=real.shape[1],
        resize=resize,
        reference=reference,
        real=len(real),
        generated=len(generated),
        dtype=dtype,
        seed=seed,
        notes=notes,
    )
    # A distance over all pairs takes time with every pair. And the more images there are, the nearer is the nearest one.
    fewer_real, fewer_generated = _choice(real, max(len(generated), FEWEST), rng), _choice(generated, len(real), rng)
    paired = dataclasses.replace(protocol, real=len(fewer_real))
    balanced = dataclasses.replace(paired, generated=len(fewer_generated))
    families = (
        partial(_gaussians, real, generated, protocol, rng),
        partial(_discrepancies, fewer_real, generated, paired, rng),
        partial(_neighbourhoods, fewer_real, fewer_generated, balanced, rng),
    )
    return [measurement for family in counted(families, "distances") for measurement in family()]


def _choice(vectors: Vectors, most: int, rng: torch.Generator) -> Generated:
    """`vectors`, or a random choice of `most` of them if there are more."""
    return vectors[torch.randperm(len(vectors), generator=rng)[:most]] if len(vectors) > most else vectors


def _gaussians(real: Vectors, generated: Generated, protocol: Protocol, rng: torch.Generator) -> list[Measurement]:
    """The Fréchet distance, and its extrapolation to infinitely many images if there are enough."""
    shift, spread = frechet_parts(real, generated)
    few = min(len(real), len(generated)) <= real.shape[1]
    remark = f"{shift:.4g} of it from the means, {spread:.4g} from the covariances"
    remark += "; fewer images than dimensions, so the bias is large: use kid" if few else ""
    remarked = dataclasses.replace(protocol, notes="; ".join(filter(None, [remark, protocol.notes])))
    interval = jackknife(shift + spread, frechet_deletions(real, generated, rng=rng), within=(0, torch.inf))
    report = [_distance("frechet", shift + spread, remarked, interval)]
    if len(generated) >= 4 * real.shape[1]:
        line = dataclasses.replace(protocol, settings="15 sizes")
        report.append(_distance("frechet_infinity", frechet_infinity(real, generated, rng=rng), line, None))
    return report


def _discrepancies(real: Vectors, generated: Generated, protocol: Protocol, rng: torch.Generator) -> list[Measurement]:
    """KID and MIND."""
    pairs = dataclasses.replace(protocol, settings="all pairs")
    lines = dataclasses.replace(protocol, settings="1000 directions")
    kernel, sliced = discrepancy(real, generated), mind(real, generated, rng=rng)
    return [
        _distance("kid", kernel, pairs, jackknife(kernel, kid_deletions(real, generated, rng=rng))),
        _distance("mind", sliced, lines, jackknife(sliced, mind_deletions(real, generated, rng=rng), within=(0, torch.inf))),
    ]


def _distance(name: str, value: float, protocol: Protocol, interval: tuple[float, float] | None) -> Measurement:
    protocol = dataclasses.replace(protocol, interval=JACKKNIFE if interval else "")
    return Measurement(name=name, value=value, interval=interval, higher_is_better=False, protocol=protocol)


def _neighbourhoods(real: Vectors, generated: Generated, protocol: Protocol, rng: torch.Generator) -> list[Measurement]:
    """Precision, recall, density and coverage."""
    precision, recall = precision_recall(real, generated)
    density, coverage = density_coverage(real, generated)
    densities, coverages = density_coverage_deletions(real, generated, rng=rng)
    rows = [
        ("precision", precision, 3, wilson(round(precision * len(generated)), len(generated)), WILSON.format("generated")),
        ("recall", recall, 3, wilson(round(recall * len(real)), len(real)), WILSON.format("real")),
        ("density", density, 5, jackknife(density, densities, within=(0, torch.inf)), JACKKNIFE),
        ("coverage", coverage, 5, jackknife(coverage, coverages, within=(0, 1)), JACKKNIFE),
    ]
    return [
        Measurement(
            name=name,
            value=value,
            interval=interval,
            higher_is_better=True,
            protocol=dataclasses.replace(protocol, settings=f"k = {k}", interval=method),
        )
        for name, value, k, interval, method in rows
    ]
