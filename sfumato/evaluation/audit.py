"""Does a generator copy? Its images beside the training images that are nearest to them, and beside each other.

Near is a word that needs a measure, and the real images give it. Images that the model never saw also have a nearest training image. The
distance below which one in a hundred of them falls is the threshold:

    copied       a generated image nearer to a training image than 99 in 100 unseen real ones are; by chance it is one in a hundred
    duplicated   a generated image nearer to another than 99 in 100 real ones, of as many, are to each other; by chance the same

A mirror image is a copy too. Without unseen images, a tenth of the training images stands in, measured to the others. A threshold taken
from few real images is itself uncertain: the verdict accuses only beyond what that allows. Fewer than a hundred have no hundredth part:
the threshold is then the smallest of their distances, below which one in n + 1 other real images falls by chance, and where that accuses
nobody it acquits nobody either: there are too few images for a verdict. And the more images there are, the nearer the nearest one is:
with fewer training images than generated ones, only as many of these are compared with each other.
"""

import dataclasses
import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.core import atomic_io, outputs
from sfumato.core.device import select_device
from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Images, PerImage, Vectors, to_bytes, to_images, to_pixels
from sfumato.data.dataset import Dataset
from sfumato.evaluation.evaluate import LEAST, compared, described, facts, matching_features, reference, suited
from sfumato.generation.generate import generate, sampler
from sfumato.io import files
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.interval import wilson
from sfumato.metrics.neighbours import nearest
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store.loaded import Model

BY_CHANCE = 0.01
"""Share of real images that fall below a threshold."""
ENOUGH = round(1 / BY_CHANCE)
"""Images, real or generated, of which that share is one image: of fewer, nobody is acquitted."""
MOST = 2000
"""Real images that a threshold is taken from, at the most."""
SHOWN = 32
"""Pairs on a sheet."""


class Verdict(enum.StrEnum):
    """What the figures allow to say."""

    FOUND = "found"
    NO_SIGN = "no sign"
    TOO_FEW = "too few images"


class Threshold(NamedTuple):
    """The distance below which a generated image is flagged."""

    limit: float
    by_chance: float
    """The share of other real images expected below it."""
    summary: str


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A generated image and what it is nearest to."""

    seed: int
    other: int
    """Number of a training image, or seed of a generated one."""
    distance: float
    flagged: bool
    """Whether it is nearer than the threshold."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found, the nearest pairs first."""

    report: list[Measurement]
    copies: list[Neighbour]
    """Every generated image, by its nearest training image."""
    duplicates: list[Neighbour]
    """Every generated image that was compared with others, by the nearest of them."""
    by_chance: dict[str, float]
    """For `copied` and `duplicated`, the share that a generator without fault may show: with many images little over one in a hundred."""
    verdicts: dict[str, Verdict]
    """For the same two."""
    images: Images
    """The generated images, by seed."""
    train: Dataset
    first_seed: int

    def sheets(self) -> dict[str, Images]:
        """Pairs side by side, nearest first: generated and training images as `nearest`, two generated ones as `duplicates`."""
        copied = [(self.images[n.seed - self.first_seed], to_images(self.train.pixels[n.other, None])[0]) for n in self.copies[:SHOWN]]
        seen: dict[tuple[int, ...], Neighbour] = {}
        for n in self.duplicates:
            seen.setdefault(tuple(sorted((n.seed, n.other))), n)
        pairs = [(self.images[n.seed - self.first_seed], self.images[n.other - self.first_seed]) for n in list(seen.values())[:SHOWN]]
        return {
            name: torch.stack([image for pair in some for image in pair]) for name, some in (("nearest", copied), ("duplicates", pairs))
        }


def audit(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    features: Model | None = None,
    count: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> Audit:
    """Looks for copies and duplicates among the `count` images of seeds `seed`, `seed` + 1, ...

    `data` is by default what the model was trained on. Distances are Euclidean between feature vectors of the network called `features`, by
    default as in `evaluate`. Raises SettingError for a model that makes no images or a `count` below 20, DataError for fewer than 40
    training images, and like `evaluate`.
    """
    if count < LEAST:
        raise SettingError(f"count = {count} is below {LEAST}: of so few images nothing can be said; give a larger --count")
    where = select_device(device)
    source = sampler(model).to(where)
    train, test = compared(source, data)
    if len(train) < 2 * LEAST:
        raise DataError(f"{train.name} has {len(train)} images to compare with; an audit wants at least {2 * LEAST}; name more with --data")
    network = source.network
    features_of = suited(features, network) if features is not None else matching_features(network, train)
    observer = features_of.network.to(where)
    made = generate(source, count, seed=seed, device=device)
    real, ours = described(observer, train.pixels), described(observer, to_bytes(made))
    rng = seeded_generator(seed, "audit")
    known = facts(features_of)
    protocol = Protocol(
        features=known["features"],
        weights=known["weights"],
        resize=known["resize"],
        dimension=real.shape[1],
        reference=reference(train),
        generated=len(made),
        seed=seed,
    )

    usual, among = _usual(observer, real, train, test, rng)
    distance, index = _nearest_either_way(observer, to_bytes(made), ours, real)
    near = threshold(usual, among)
    unit = dataclasses.replace(protocol, real=len(usual), settings=near.summary)
    report = [_share("copied", distance < near.limit, near, unit), _ratio("closeness", distance, usual, unit)]

    some = real[torch.randperm(len(real), generator=rng)[: len(made)]]
    apart, other = nearest(ours[: len(some)], ours[: len(some)], exclude_self=True)
    between = nearest(some, some, exclude_self=True)[0]
    twins = threshold(between, f"{len(some)} training images, measured to each other,")
    unit = dataclasses.replace(protocol, generated=len(apart), real=len(some), settings=twins.summary)
    report.append(_share("duplicated", apart < twins.limit, twins, unit, together=2))
    by_chance = {"copied": _innocent(usual, near.limit), "duplicated": _innocent(between, twins.limit, together=2)}
    fewest = {"copied": min(len(usual), len(made)), "duplicated": len(some)}
    shares = {m.name: m for m in report}
    return Audit(
        report=report,
        copies=_listed(distance, index.tolist(), near.limit, seed),
        duplicates=_listed(apart, (other + seed).tolist(), twins.limit, seed),
        by_chance=by_chance,
        verdicts={name: verdict(shares[name], most, fewest[name]) for name, most in by_chance.items()},
        images=made,
        train=train,
        first_seed=seed,
    )


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write into the folder `out`. Raises SettingError for a name that ends like a file."""
    outputs.check_folder_name(out)
    return [out / "nearest.png", out / "duplicates.png", out / "audit.json"]


def save(result: Audit, out: Path) -> list[Path]:
    """Writes the sheets and `audit.json`, with the figures and every flagged image, into the folder `out`. Returns the paths."""
    paths = output_files(out)
    for path, images in zip(paths, result.sheets().values(), strict=False):
        files.save_image(path, to_pixels(images, columns=8))
    flagged = {
        name: [dataclasses.asdict(n) for n in some if n.flagged]
        for name, some in (("copied", result.copies), ("duplicated", result.duplicates))
    }
    told = {"report": [m.as_dict() for m in result.report], "by_chance": result.by_chance, "verdicts": result.verdicts}
    atomic_io.write(paths[-1], json.dumps({**told, **flagged}, indent=2) + "\n")
    return paths


def threshold(usual: PerImage, among: str) -> Threshold:
    """Below which of the `usual` distances of real images a generated one is flagged: a hundredth of them, or the smallest of fewer.

    `among` says in words which images these are.
    """
    if len(usual) >= ENOUGH:
        limit = usual.quantile(BY_CHANCE).item()
        return Threshold(limit, BY_CHANCE, f"threshold {limit:.4g}: {BY_CHANCE:.0%} of {among} are nearer")
    limit = usual.min().item()
    return Threshold(limit, 1 / (len(usual) + 1), f"threshold {limit:.4g}: none of {among} is nearer")


def verdict(share: Measurement, most: float, fewest: int) -> Verdict:
    """What a `share` of flagged images says, of which `most` may be by chance; `fewest` images were compared on one of the two sides."""
    if share.interval is not None and share.interval[0] > most:
        return Verdict.FOUND
    return Verdict.NO_SIGN if fewest >= ENOUGH else Verdict.TOO_FEW


def _usual(
    observer: FeatureExtractor, real: Vectors, train: Dataset, test: Dataset, rng: torch.Generator
) -> tuple[Float[Tensor, " _k"], str]:
    """Distances of real images to the nearest training image that they are not themselves, and what these images are, in words."""
    if test is not train and len(test) >= LEAST:
        pixels = test.pixels[torch.randperm(len(test), generator=rng)[:MOST]]
        distance, _ = _nearest_either_way(observer, pixels, described(observer, pixels), real)
        return distance, f"{len(pixels)} real images that were not trained on"
    order = torch.randperm(len(real), generator=rng)
    chosen, rest = order.split([part := min(MOST, max(LEAST, len(real) // 10)), len(real) - part])
    distance, _ = _nearest_either_way(observer, train.pixels[chosen], real[chosen], real[rest])
    return distance, f"{part} training images, measured to the others,"


def _nearest_either_way(
    observer: FeatureExtractor, pixels: Bytes, ours: Vectors, real: Float[Tensor, "_m d"]
) -> tuple[PerImage, Int64[Tensor, " n"]]:
    """The nearest training image to each image or to its mirror image."""
    (straight, first), (turned, second) = nearest(ours, real), nearest(described(observer, pixels.flip(3)), real)
    return torch.minimum(straight, turned), torch.where(turned < straight, second, first)


def _listed(distance: PerImage, others: list[int], limit: float, seed: int) -> list[Neighbour]:
    pairs = zip(distance.tolist(), others, strict=True)
    found = [Neighbour(seed=seed + i, other=other, distance=d, flagged=d < limit) for i, (d, other) in enumerate(pairs)]
    return sorted(found, key=lambda n: n.distance)


def _innocent(usual: Float[Tensor, " _k"], limit: float, *, together: int = 1) -> float:
    """The share below `limit` that other real images can have, given how many of the `usual` ones lie there."""
    return _interval(usual <= limit, together)[1]


def _interval(flags: Tensor, together: int) -> tuple[float, float]:
    """Of the share of `flags` that are set. Two images that are near flag each other: that is one thing seen, not two."""
    return wilson(int(flags.sum()) // together, max(1, len(flags) // together))


def _share(name: str, flags: Tensor, limit: Threshold, protocol: Protocol, *, together: int = 1) -> Measurement:
    how = "95 %, other images from the same generator against the same threshold, Wilson"
    notes = f"share of generated images below the threshold; {limit.by_chance:.1%} would be by chance"
    protocol = dataclasses.replace(protocol, interval=how, notes=notes)
    return Measurement(
        name=name, value=flags.double().mean().item(), interval=_interval(flags, together), higher_is_better=False, protocol=protocol
    )


def _ratio(name: str, ours: PerImage, usual: Float[Tensor, " _k"], protocol: Protocol) -> Measurement:
    value = (ours.median() / usual.median()).item() if usual.median() > 0 else float("inf")
    notes = "median distance to the nearest training image, over that of real images: 1 is as far as they are, less is nearer"
    protocol = dataclasses.replace(protocol, notes=notes)
    return Measurement(name=name, value=value, interval=None, higher_is_better=True, protocol=protocol)


def verdict_line(result: Audit) -> str:
    """The verdict in one line."""
    shares: dict[str, Measurement] = {m.name: m for m in result.report}
    words = []
    for name, verb in (("copied", "copies training images"), ("duplicated", "repeats itself")):
        m, most = shares[name], result.by_chance[name]
        compared_with = f"{m.protocol.generated} generated and {m.protocol.real} real images"
        words.append(
            {
                Verdict.FOUND: f"{verb}: {m.value:.1%} against at most {most:.1%} by chance",
                Verdict.NO_SIGN: f"no sign that it {verb} ({m.value:.1%})",
                Verdict.TOO_FEW: f"too few images to tell whether it {verb}: {compared_with}, and {ENOUGH} of each are the least",
            }[result.verdicts[name]]
        )
    return "; ".join(words)
