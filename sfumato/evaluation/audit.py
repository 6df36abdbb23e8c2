"""Does a generator copy? Its images beside the nearest training images, and beside each other.

The thresholds come from real images, because images that the model was not trained on also have a nearest training image. A threshold is
the distance below which one in a hundred of them falls:

    copied       a generated image is nearer to a training image than 99 in 100 unseen real images; by chance one in a hundred is
    duplicated   a generated image is nearer to another than 99 in 100 of as many real images are to each other; by chance the same

Distances are those to an image or to its mirror image. Without unseen images, the thresholds come from a tenth of the training images,
measured to the others. A threshold from few real images is uncertain: the verdict detects a fault only beyond this uncertainty. Of fewer
than a hundred images the threshold is the smallest distance, below which one in n + 1 other real images falls by chance; if no fault is
detected with it, the verdict is that there are too few images. The nearest of more images is nearer: if there are fewer training images
than generated ones, only as many generated images are compared with each other.
"""

import dataclasses
import enum
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core import atomic_io, outputs
from sfumato.core.device import select_device
from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import Images, to_images, to_pixels
from sfumato.data.dataset import Dataset
from sfumato.evaluation.audit_search import ENOUGH, Neighbour, search
from sfumato.evaluation.evaluate import compared
from sfumato.evaluation.features import choose_features, feature_facts
from sfumato.evaluation.generators import LEAST, reference
from sfumato.evaluation.report import Report
from sfumato.generation.generate import opened_generator
from sfumato.io import files
from sfumato.io.results import save_files
from sfumato.metrics.base import Measurement, Protocol
from sfumato.store.loaded import Model

SHOWN = 32
"""Pairs on a sheet."""


class Verdict(enum.StrEnum):
    """The conclusion from a figure."""

    DETECTED = "found"
    NO_SIGN = "no sign"
    TOO_FEW = "too few images"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The figures of an audit and its pairs, the nearest first."""

    report: Report
    copies: list[Neighbour]
    """Every generated image with its nearest training image."""
    duplicates: list[Neighbour]
    """Every generated image that was compared with others, with the nearest of them."""
    by_chance: dict[str, float]
    """For `copied` and `duplicated`, the largest share without a fault: from many images little over one in a hundred."""
    verdicts: dict[str, Verdict]
    """For `copied` and `duplicated`."""
    images: Images
    """The generated images, by seed."""
    train: Dataset
    first_seed: int

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the sheets and `audit.json` into the folder `path`; returns the paths.

        Raises SettingError for a name that ends like a file, and for a file that is not to be replaced.
        """
        folder = Path(path)
        return save_files(output_files(folder), lambda: save(self, folder), by="audit", overwrite=overwrite)

    def sheets(self) -> dict[str, Images]:
        """Pairs side by side, nearest first: generated and training images as `nearest`, two generated images as `duplicates`."""
        copied = [(self._generated(n.seed), to_images(self.train.pixels[n.other, None])[0]) for n in self.copies[:SHOWN]]
        once: dict[tuple[int, ...], Neighbour] = {}
        for n in self.duplicates:
            once.setdefault(tuple(sorted((n.seed, n.other))), n)
        pairs = [(self._generated(n.seed), self._generated(n.other)) for n in list(once.values())[:SHOWN]]
        return {
            name: torch.stack([image for pair in some for image in pair]) for name, some in (("nearest", copied), ("duplicates", pairs))
        }

    def _generated(self, seed: int) -> Float[Tensor, "c h w"]:
        """The generated image of `seed`."""
        return self.images[seed - self.first_seed]


def audit(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    features: Model | None = None,
    count: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> Audit:
    """The copies of training images, and the duplicates, among the `count` images of seeds `seed`, `seed` + 1, ...

    `data` is by default the data of the training. Distances are Euclidean between feature vectors of the network called `features`, by
    default as in `evaluate`. Raises SettingError for a model that makes no images or a `count` below 20, DataError for fewer than 40
    training images, and like `evaluate`.
    """
    if count < LEAST:
        raise SettingError(f"count = {count} is below {LEAST}, the fewest images for an audit; give a larger --count")
    target = select_device(device)
    source = opened_generator(model).to(target)
    train, test = compared(source, data)
    if len(train) < 2 * LEAST:
        raise DataError(f"{train.name} has {len(train)} images to compare with; an audit wants at least {2 * LEAST}; name more with --data")
    extractor = choose_features(features, source.network, train).to(target)
    images, copies, duplicates = search(source, extractor.network, train, test, count=count, seed=seed, device=device)
    protocol = Protocol(**feature_facts(extractor), dimension=extractor.network.feature_dim, reference=reference(train), seed=seed)
    shares = {each.name: each.share(protocol) for each in (copies, duplicates)}
    by_chance = {each.name: each.by_chance for each in (copies, duplicates)}
    return Audit(
        report=Report([shares["copied"], copies.closeness(protocol), shares["duplicated"]]),
        copies=copies.neighbours(seed),
        duplicates=duplicates.neighbours(seed),
        by_chance=by_chance,
        verdicts={each.name: verdict(shares[each.name], by_chance[each.name], each.fewest) for each in (copies, duplicates)},
        images=images,
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
        name: [dataclasses.asdict(n) for n in neighbours if n.flagged]
        for name, neighbours in (("copied", result.copies), ("duplicated", result.duplicates))
    }
    figures = {"report": [m.as_dict() for m in result.report], "by_chance": result.by_chance, "verdicts": result.verdicts}
    atomic_io.write(paths[-1], json.dumps({**figures, **flagged}, indent=2) + "\n")
    return paths


def verdict(share: Measurement, most: float, fewest: int) -> Verdict:
    """The conclusion from the `share` of flagged images; `most` is the largest share by chance, `fewest` the smaller number of images."""
    if share.interval is not None and share.interval[0] > most:
        return Verdict.DETECTED
    return Verdict.NO_SIGN if fewest >= ENOUGH else Verdict.TOO_FEW


def verdict_line(result: Audit) -> str:
    """Both verdicts in one line."""
    shares: dict[str, Measurement] = {m.name: m for m in result.report}
    clauses = []
    for name, verb in (("copied", "copies training images"), ("duplicated", "repeats itself")):
        m, most = shares[name], result.by_chance[name]
        compared_with = f"{m.protocol.generated} generated and {m.protocol.real} real images"
        clauses.append(
            {
                Verdict.DETECTED: f"{verb}: {m.value:.1%} against at most {most:.1%} by chance",
                Verdict.NO_SIGN: f"no sign that it {verb} ({m.value:.1%})",
                Verdict.TOO_FEW: f"too few images to tell whether it {verb}: {compared_with}, and {ENOUGH} of each are the least",
            }[result.verdicts[name]]
        )
    return "; ".join(clauses)
