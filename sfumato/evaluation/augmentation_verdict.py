"""Do synthetic images help a classifier? An experiment with a verdict in one sentence.

    for each split and seed:  baseline, and synthetic at each ratio ─> accuracy on validation images ─> one ratio for all splits
    then, once:               baseline, that ratio, placebo ─> the test images ─> paired differences ─> verdict

The synthetic images of a split come from its training images alone, or from a generator that saw no validation or test image. The test
images take no part in the choice of the ratio. The verdict is `helps` only if the whole 95 % intervals of two differences lie above 0: from
the baseline, and from the placebo, which has as many images and nothing new in them.
"""

import dataclasses
import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.data.dataset import Dataset
from sfumato.data.mixed import MixedDataset, matched_labels
from sfumato.evaluation.augmentation_arms import Source, Split, arm_settings, draw_split, right_answers, trained, with_placebo
from sfumato.evaluation.synthetic import copy_test
from sfumato.io.results import save_files
from sfumato.metrics.paired import Difference, McNemar, mcnemar, paired_difference
from sfumato.models.roles.classifier import Classifier
from sfumato.train.settings import TrainSettings

RATIOS = (0.5, 1.0, 2.0)
"""Synthetic images for each real one, in the arms."""
SPLITS, RUNS = 5, 2
"""Paired splits, and seeds of each split: so many or more."""


class Gain(enum.StrEnum):
    """The conclusion from the intervals of the differences."""

    HELPS = "helps"
    NONE = "no gain shown"
    HARMS = "harms"


class ClassRow(NamedTuple):
    """Accuracies of one class on the test images, in [0, 1]."""

    name: str
    images: int
    baseline: float
    synthetic: float


@dataclass(frozen=True, kw_only=True)
class AugmentationVerdict:
    """The figures of an experiment. Accuracies are in [0, 1]; differences are those of accuracies."""

    gain: Difference
    """Accuracy with synthetic images minus that of the baseline, on the test images, with its 95 % interval."""
    placebo: Difference
    """The same for repeated real images in the place of the synthetic ones."""
    over_placebo: Difference
    """Accuracy with synthetic images minus that with repeated real ones."""
    ratio: float
    """Synthetic images for each real one, as chosen on the validation images."""
    validation: dict[float, float]
    """Mean accuracy on the validation images at each ratio; 0 is the baseline."""
    accuracy: float
    """Of the baseline, on the test images."""
    classes: tuple[ClassRow, ...]
    mcnemar: McNemar
    """From the pooled answers of all splits and seeds. An image is in it once for each, so that `p` is smaller than it should be."""
    memorised: float
    """Mean memorisation rate of the synthetic images: the share that counts as copies of training images; 0.01 is chance."""
    missing: tuple[str, ...]
    """Classes without synthetic images in some split, because none that a generator made passed the filters."""
    train: int
    """Real training images of each split."""
    test: int
    splits: int
    runs: int

    @property
    def verdict(self) -> Gain:
        """The conclusion from the intervals of `gain` and `over_placebo`."""
        return conclusion(self.gain, self.over_placebo)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the interval in points of accuracy."""
        mean, low, high = (100 * value for value in self.gain)
        span = f"({low:+.1f}..{high:+.1f} points of accuracy)"
        arm = f"{self.ratio:g}x synthetic images beside {self.train:,} real ones"
        if self.verdict is Gain.NONE and conclusion(self.gain) is not Gain.NONE:
            arm += "; as many repeated real images do about the same"
        return {
            Gain.HELPS: f"helps by {mean:.1f} {span}: {arm}",
            Gain.NONE: f"no gain shown {span}: {arm}",
            Gain.HARMS: f"harms by {-mean:.1f} {span}: {arm}",
        }[self.verdict]

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the figures as .json; returns the path. Raises SettingError for another ending and for a file that must stay."""
        target = Path(path)
        return save_files(output_files(target), lambda: self.write(target), by="augment", overwrite=overwrite)

    def write(self, path: Path) -> None:
        """Writes the figures at once, whatever is there. Raises StorageError."""
        facts = dataclasses.asdict(self) | {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "gain": self.gain._asdict(),
            "placebo": self.placebo._asdict(),
            "over_placebo": self.over_placebo._asdict(),
            "mcnemar": self.mcnemar._asdict(),
            "classes": [row._asdict() for row in self.classes],
            "validation": {f"{ratio:g}": accuracy for ratio, accuracy in self.validation.items()},
        }
        atomic_io.write(path, json.dumps(facts, indent=2) + "\n")


def output_files(out: Path) -> list[Path]:
    """The file that `AugmentationVerdict.save` writes. Raises SettingError for another ending."""
    outputs.check_ending(out, (".json",), "figures")
    return [out]


def conclusion(*differences: Difference) -> Gain:
    """`helps` if all intervals lie above 0, `harms` if all lie below 0, otherwise no gain is shown."""
    if all(difference.low > 0 for difference in differences):
        return Gain.HELPS
    return Gain.HARMS if all(difference.high < 0 for difference in differences) else Gain.NONE


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is compared, and how often."""

    source: Source
    repeat: bool = False
    """Whether a class may have fewer synthetic images than an arm needs: they are repeated then."""
    per_class: int | None = None
    """Real training images of each class; None takes four fifths of all."""
    ratios: Sequence[float] = RATIOS
    splits: int = SPLITS
    runs: int = RUNS
    classifier: TrainSettings | None = None
    images: int | None = None
    """Length of each training in images."""
    seed: int = 0
    device: str = "auto"

    def check(self) -> None:
        """Raises SettingError for fewer than five splits or two seeds, no ratio, or a ratio that is not above 0."""
        if self.splits < SPLITS or self.runs < RUNS:
            raise SettingError(f"splits = {self.splits} and runs = {self.runs}; a verdict needs at least {SPLITS} splits and {RUNS} runs")
        if not self.ratios or min(self.ratios) <= 0:
            raise SettingError(f"ratios = {tuple(self.ratios)} must be numbers above 0, such as 0.5, 1 and 2")


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """The classifiers of one split and seed, and their accuracies on the validation images, by ratio; 0 is the baseline."""

    split: Split
    seed: int
    settings: TrainSettings
    networks: dict[float, Classifier]
    validation: dict[float, float]


def run_experiment(experiment: Experiment, pool: Dataset, test: Dataset) -> AugmentationVerdict:
    """The verdict of `experiment`, with training and validation images from `pool`. Reports its progress.

    Raises SettingError as `Experiment.check` and for too few synthetic images, DataError for too few real ones.
    """
    experiment.check()
    pairs, rates, missing = list[_Trained](), list[float](), set[str]()
    for number in counted(range(experiment.splits), "splits"):
        split = draw_split(pool, experiment.per_class, seed=experiment.seed, number=number)
        more = experiment.source(split.train, _largest_need(split.train, max(experiment.ratios)))
        rates.append(copy_test(split.train).share(more.pixels))
        missing |= {name for label, name in enumerate(pool.classes) if label not in matched_labels(more, pool)}
        for run in counted(range(experiment.runs), "seeds"):
            pairs.append(_trained_arms(experiment, split, more, run))
    ratios = (0.0, *experiment.ratios)
    validation = {ratio: sum(pair.validation[ratio] for pair in pairs) / len(pairs) for ratio in ratios}
    chosen = max(experiment.ratios, key=lambda ratio: validation[ratio])
    baseline = torch.stack([right_answers(pair.networks[0.0], test) for pair in pairs])
    synthetic = torch.stack([right_answers(pair.networks[chosen], test) for pair in pairs])
    placebo = torch.stack([right_answers(_placebo(pair, chosen, experiment.device), test) for pair in counted(pairs, "placebos")])
    return AugmentationVerdict(
        gain=_gain(baseline, synthetic, experiment.splits),
        placebo=_gain(baseline, placebo, experiment.splits),
        over_placebo=_gain(placebo, synthetic, experiment.splits),
        ratio=chosen,
        validation=validation,
        accuracy=baseline.double().mean().item(),
        classes=_class_rows(test, baseline, synthetic),
        mcnemar=mcnemar(baseline.flatten(), synthetic.flatten()),
        memorised=sum(rates) / len(rates),
        missing=tuple(name for name in pool.classes if name in missing),
        train=len(pairs[0].split.train),
        test=len(test),
        splits=experiment.splits,
        runs=experiment.runs,
    )


def _largest_need(train: Dataset, ratio: float) -> int:
    """Synthetic images that the largest class needs."""
    assert train.labels is not None
    return max(1, round(ratio * int(train.labels.bincount().max())))


def _trained_arms(experiment: Experiment, split: Split, more: Dataset, run: int) -> _Trained:
    """The classifiers of one split and seed: the baseline, and one for each ratio."""
    largest = round((1 + max(experiment.ratios)) * len(split.train))
    settings = arm_settings(experiment.classifier, largest, experiment.images)
    seed = experiment.seed + run
    networks = dict[float, Classifier]()
    for ratio in counted((0.0, *experiment.ratios), "arms"):
        data = MixedDataset.mix(split.train, more, ratio=ratio, seed=seed, repeat=experiment.repeat) if ratio else split.train
        networks[ratio] = trained(settings, data, seed=seed, device=experiment.device)
    accuracies = {ratio: right_answers(network, split.validation).double().mean().item() for ratio, network in networks.items()}
    return _Trained(split=split, seed=seed, settings=settings, networks=networks, validation=accuracies)


def _placebo(pair: _Trained, ratio: float, device: str) -> Classifier:
    """The classifier of the same split and seed with repeated real images."""
    return trained(pair.settings, with_placebo(pair.split.train, ratio, seed=pair.seed), seed=pair.seed, device=device)


def _gain(baseline: Bool[Tensor, "pairs n"], other: Bool[Tensor, "pairs n"], splits: int) -> Difference:
    """The difference of accuracies: the answers of the seeds of a split are averaged first."""
    differences = other.double() - baseline.double()
    return paired_difference(differences.reshape(splits, -1, differences.shape[1]).mean(dim=1))


def _class_rows(test: Dataset, baseline: Bool[Tensor, "pairs n"], synthetic: Bool[Tensor, "pairs n"]) -> tuple[ClassRow, ...]:
    """The accuracies of each class that has test images."""
    assert test.labels is not None
    rows = list[ClassRow]()
    for label, name in enumerate(test.classes):
        own = test.labels == label
        if own.any():
            before, after = (answers[:, own].double().mean().item() for answers in (baseline, synthetic))
            rows.append(ClassRow(name, int(own.sum()), before, after))
    return tuple(rows)
