"""The verb `augment`: more training images from a generator, and whether they help."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import tyro
from rich.table import Table

from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Device, Overwrite, Threads, machine, progress
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

if TYPE_CHECKING:
    from sfumato.evaluation.augmentation_verdict import AugmentationVerdict
    from sfumato.train.settings import TrainSettings

Data = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(metavar="DATA", help="A folder or a .zip with one sub-folder for each class, or the name of a data set with classes."),
]


class Options(TypedDict):
    """The options of both calls."""

    model: str | None
    budget: str
    classifier: "TrainSettings | None"
    seed: int
    device: str


@dataclass(frozen=True, kw_only=True)
class GeneratorFlags:
    """The flags that say which generator makes the images, and which classifier judges them."""

    model: str | None = None
    """Generator with the classes of DATA, trained on no other part of DATA. Default: one is trained."""
    budget: str = ""
    """Time for the training of a generator. Default: 20min; with --verdict, 10min for that of each split."""
    classifier: str | None = None
    """Recipe of the classifier. Default: a small network with the settings of the recipe classifier."""


@dataclass(frozen=True, kw_only=True)
class VerdictFlags:
    """The flags of a comparison of classifiers."""

    verdict: bool = False
    """Compare classifiers, and write no images. --synthetic, --real, --splits, --runs and --images need it."""
    synthetic: str | None = None
    """Synthetic images to judge: a folder with one sub-folder for each class. Default: images of the generator."""
    real: Annotated[int | None, Range(1, 1e9, "images")] = None
    """Real training images of each class. Default: four fifths of the training part; the others choose the ratio."""
    splits: Annotated[int | None, Range(5, 1000, "splits")] = None
    """Number of random divisions into training and validation images; at least 5. Default: 5."""
    runs: Annotated[int | None, Range(2, 100, "seeds")] = None
    """Number of seeds for each split; at least 2. Default: 2."""
    images: Annotated[int | None, Range(1, 1e12, "images")] = None
    """Length of each training. Default: 30 passes over the images of the largest arm, at least 6,400 images."""


def augment(
    data: Data,
    *,
    per_class: Annotated[int | None, Range(1, 1e6, "images")] = None,
    generator: GeneratorFlags,
    comparison: VerdictFlags,
    seed: int = 0,
    out: Path | None = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make more labelled training images with a generator, or test whether they help.

    Only the training part of DATA is used. Copies of training images and images of another class are left out. With --verdict, classifiers
    are trained with and without synthetic images, and one sentence says whether these help, with a 95 % interval.

    Args:
        per_class: Number of images to make of each class. Default: 200.
        seed: Seed of the first image, and of all trainings.
        out: A folder for the images, or with --verdict a .json file for the figures. Default: the name of DATA with -augmented behind it;
            figures are printed only.

    """
    _check(generator, comparison, per_class)
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.data.scenes import existing_data
        from sfumato.recipes import recipe
        from sfumato.store.weights import existing_model

        classifier = None if generator.classifier is None else recipe(generator.classifier)
        target = (
            out if comparison.verdict else out or Path(f"{Path(data).expanduser().resolve().name.removesuffix('.zip') or 'data'}-augmented")
        )
        reads = (existing_data(data), existing_model(generator.model), existing_data(comparison.synthetic))
        options = Options(model=generator.model, budget=generator.budget, classifier=classifier, seed=seed, device=device)
        paths = _paths(target, verdict=comparison.verdict, overwrite=overwrite)
        with outputs.reserved(paths, by="augment", overwrite=overwrite, reads=reads):
            if comparison.verdict:
                _judge(data, comparison, options, target)
            elif target is not None:
                _make(data, per_class, options, target)


def _check(generator: GeneratorFlags, comparison: VerdictFlags, per_class: int | None) -> None:
    """Raises SettingError for options without effect, and if the images have more than one source."""
    needs = {f"--{name}": getattr(comparison, name) for name in ("synthetic", "real", "splits", "runs", "images")}
    if not comparison.verdict and (extra := [flag for flag, value in needs.items() if value is not None]):
        raise SettingError(f"{extra[0]} has no effect without --verdict; add --verdict, or leave it out")
    if comparison.verdict and per_class is not None:
        raise SettingError("--per-class has no effect with --verdict, whose arms say how many images are made; leave it out")
    if sum(map(bool, (generator.model, generator.budget, comparison.synthetic))) > 1:
        raise SettingError("say where the images come from, in one way: --model, --budget, or with --verdict --synthetic")


def _paths(target: Path | None, *, verdict: bool, overwrite: bool) -> list[Path]:
    """The files that will be written. Raises SettingError if the folder for images is not empty."""
    from sfumato.evaluation import augmentation, augmentation_verdict

    if target is None:
        return []
    if verdict:
        return augmentation_verdict.output_files(target)
    augmentation.check_folder(target, overwrite=overwrite)
    return augmentation.output_files(target)


def _make(data: str, per_class: int | None, options: Options, target: Path) -> None:
    """Writes images, and says how many were left out."""
    from sfumato.evaluation import augmentation as job

    with progress():
        result = job.augment(data, per_class=job.PER_CLASS if per_class is None else per_class, **options)
        result.write(target)
    console.print(f"{result.kept.summary}; see {target} and {target / job.TABLE}", highlight=False)


def _judge(data: str, comparison: VerdictFlags, options: Options, target: Path | None) -> None:
    """Prints a verdict, and writes its figures if there is a file for them."""
    from sfumato.evaluation import augmentation as job

    with progress():
        result = job.augmentation_verdict(
            data,
            synthetic=comparison.synthetic,
            per_class=comparison.real,
            splits=comparison.splits or job.SPLITS,
            runs=comparison.runs or job.RUNS,
            images=comparison.images,
            **options,
        )
    if target is not None:
        result.write(target)
    _show(result)


def _show(result: "AugmentationVerdict") -> None:
    """Prints the figures, and last the sentence."""
    table = Table("class", "test images", "without", "with", "difference", title="accuracy on test images", title_justify="left")
    for row in result.classes:
        points = 100 * (row.synthetic - row.baseline)
        table.add_row(row.name, f"{row.images:,}", f"{row.baseline:.1%}", f"{row.synthetic:.1%}", f"{points:+.1f}")
    after = result.accuracy + result.gain.mean
    table.add_row("all", f"{result.test:,}", f"{result.accuracy:.1%}", f"{after:.1%}", f"{100 * result.gain.mean:+.1f}")
    console.print(table)
    accuracies = ", ".join(f"{ratio:g}x {accuracy:.1%}" for ratio, accuracy in result.validation.items())
    say(f"validation images, by ratio: {accuracies}; chosen: {result.ratio:g}x")
    placebo, over = (
        "{:+.1f} points ({:+.1f}..{:+.1f})".format(*(100 * value for value in each)) for each in (result.placebo, result.over_placebo)
    )
    say(f"placebo, as many repeated real images: {placebo}; synthetic images against it: {over}")
    pair = result.mcnemar
    say(f"McNemar, answers of {result.splits} splits x {result.runs} seeds: {pair.won:,} won, {pair.lost:,} lost, p = {pair.p:.2g}")
    say(f"memorisation rate of the synthetic images: {result.memorised:.1%}; 1 % would be chance")
    if result.missing:
        say(f"classes without synthetic images in some split, none of which passed the filters: {', '.join(result.missing)}")
    console.print(result.sentence, highlight=False)


VERBS = (augment,)
