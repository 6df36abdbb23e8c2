"""How near a set of generated images is to a set of real ones: every answer from one pair of feature sets.

frechet            shift and spread, as Gaussians           biased by the number of images
frechet_infinity   the same, extrapolated to no bias        given when there are enough images
kid                any difference, unbiased                 the one to trust for small sets
mind               any difference, along random lines       cheap in many dimensions
precision, density        do generated images look real?
recall, coverage          are all kinds of real images there?

No number here means anything without its features: small networks of one's own see less than large ones, so such numbers rank
models measured alike and cannot be set beside published ones.
"""

import dataclasses

import torch

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

    Where there are more real images than generated ones, all but the Fréchet distance compare with a random choice of as many.
    The keywords but `rng` are facts about how the vectors came to be, and go into the protocol: see `Protocol`. The Fréchet distance
    extrapolated to infinitely many images is in the list if there are four times as many generated images as dimensions.
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
    # Whatever compares all pairs sees no more real images than generated ones, for the time it takes; neighbourhoods no more generated
    # ones than real ones either, for the more there are, the nearer is one of them.
    some = real[torch.randperm(len(real), generator=rng)[: max(len(generated), 6)]] if len(real) > len(generated) else real
    made = generated[torch.randperm(len(generated), generator=rng)[: len(real)]] if len(generated) > len(real) else generated
    balanced = dataclasses.replace(protocol, real=len(some), generated=len(made))
    return [
        *_gaussians(real, generated, protocol, rng),
        *_discrepancies(some, generated, dataclasses.replace(protocol, real=len(some)), rng),
        *_neighbourhoods(some, made, balanced, rng),
    ]


def _gaussians(real: Vectors, generated: Generated, protocol: Protocol, rng: torch.Generator) -> list[Measurement]:
    shift, spread = frechet_parts(real, generated)
    few = min(len(real), len(generated)) <= real.shape[1]
    remark = f"{shift:.4g} of it from the means, {spread:.4g} from the covariances"
    remark += "; fewer images than dimensions, so the bias is large: look at kid" if few else ""
    remarked = dataclasses.replace(protocol, notes="; ".join(filter(None, [remark, protocol.notes])))
    interval = jackknife(shift + spread, frechet_deletions(real, generated, rng=rng), within=(0, torch.inf))
    report = [_distance("frechet", shift + spread, remarked, interval)]
    if len(generated) >= 4 * real.shape[1]:
        line = dataclasses.replace(protocol, settings="15 sizes")
        report.append(_distance("frechet_infinity", frechet_infinity(real, generated, rng=rng), line, None))
    return report


def _discrepancies(real: Vectors, generated: Generated, protocol: Protocol, rng: torch.Generator) -> list[Measurement]:
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
            protocol=dataclasses.replace(protocol, settings=f"k = {k}", interval=how),
        )
        for name, value, k, interval, how in rows
    ]
