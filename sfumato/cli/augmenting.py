"""The verb `augment`: more training images from a generator, and whether they help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from sfumato.cli.embedding import Folder
from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Device, Overwrite, Threads, machine, progress
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

if TYPE_CHECKING:
    from sfumato.evaluation.augmentation_verdict import AugmentationVerdict


def augment(
    data: Folder,
    *,
    per_class: Annotated[int, Range(1, 1e6, "images")] = 200,
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None,
    budget: str = "",
    verdict: bool = False,
    synthetic: str | None = None,
    real: Annotated[int | None, Range(1, 1e9, "images")] = None,
    splits: Annotated[int, Range(5, 1000, "splits")] = 5,
    runs: Annotated[int, Range(1, 100, "seeds")] = 2,
    classifier: str | None = None,
    images: Annotated[int | None, Range(1, 1e12, "images")] = None,
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
        per_class: Number of images to make of each class.
        model: Generator with the classes of DATA, trained on no other part of DATA. Default: one is trained, with --budget.
        budget: Time for the training of a generator, such as 20min; with --verdict, for that of each split.
        verdict: Compare classifiers, and write no images. --synthetic, --real, --splits, --runs and --images need it.
        synthetic: Synthetic images to judge: a folder with one sub-folder for each class. Default: images of the generator.
        real: Real training images of each class. Default: four fifths of the training part; the others choose the ratio.
        splits: Number of random divisions into training and validation images; at least 5.
        runs: Number of seeds for each split.
        classifier: Recipe of the classifier. Default: a small network with the settings of the recipe classifier.
        images: Length of each training. Default: 30 passes over the real images, at least 6,400 images.
        seed: Seed of the first image, and of all trainings.
        out: A folder for the images, or with --verdict a .json file for the figures. Default: the name of DATA with -augmented behind it;
            figures are printed only.

    """
    _check(verdict=verdict, sources=(model, budget, synthetic), only_verdict={"--synthetic": synthetic, "--real": real, "--images": images})
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.evaluation import augmentation as job
        from sfumato.recipes import recipe
        from sfumato.store import inputs

        target = out if verdict else out or Path(f"{Path(data).expanduser().resolve().name.removesuffix('.zip') or 'data'}-augmented")
        reads = (inputs.data(data), inputs.model(model), inputs.data(synthetic))
        common = {"model": model, "budget": budget, "classifier": None if classifier is None else recipe(classifier)}
        more = {"seed": seed, "device": device}
        with outputs.reserved(_paths(target, verdict, overwrite), by="augment", overwrite=overwrite, reads=reads):
            if verdict:
                counts = {"per_class": real, "splits": splits, "runs": runs, "images": images}
                with progress():
                    figures = job.augmentation_verdict(data, synthetic=synthetic, **common, **counts, **more)
                if target is not None:
                    figures.write(target)
                _show(figures)
            elif target is not None:
                with progress():
                    result = job.augment(data, per_class=per_class, **common, **more)
                    result.write(target)
                console.print(f"{result.kept.summary}; see {target} and {target / job.TABLE}", highlight=False)


def _check(*, verdict: bool, sources: tuple[str | None, ...], only_verdict: dict[str, object]) -> None:
    """Raises SettingError unless the images have one source, and for options that need a verdict."""
    if not verdict and (extra := [flag for flag, value in only_verdict.items() if value is not None]):
        raise SettingError(f"{extra[0]} has no effect without --verdict; add --verdict, or leave it out")
    if sum(map(bool, sources)) != 1:
        raise SettingError("say where the images come from, in one way: --model, --budget, or with --verdict --synthetic")


def _paths(target: Path | None, verdict: bool, overwrite: bool) -> list[Path]:
    """The files that will be written. Raises SettingError if the folder for images is not empty."""
    from sfumato.evaluation import augmentation, augmentation_verdict

    if target is None:
        return []
    if verdict:
        return augmentation_verdict.output_files(target)
    augmentation.check_folder(target, overwrite=overwrite)
    return augmentation.output_files(target)


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
    low, high = 100 * result.placebo.low, 100 * result.placebo.high
    say(f"validation images, by ratio: {accuracies}; chosen: {result.ratio:g}x")
    say(f"placebo, as many repeated real images: {100 * result.placebo.mean:+.1f} points ({low:+.1f}..{high:+.1f})")
    pair = result.mcnemar
    say(f"McNemar, answers of {result.splits} splits x {result.runs} seeds: {pair.won:,} won, {pair.lost:,} lost, p = {pair.p:.2g}")
    say(f"memorisation rate of the synthetic images: {result.memorised:.1%}; 1 % would be chance")
    console.print(result.sentence, highlight=False)


VERBS = (augment,)
