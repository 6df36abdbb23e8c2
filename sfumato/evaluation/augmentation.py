"""More training images of each class from a generator, and whether they help a classifier.

augment ─ training part ─ a generator (given, or trained on it) ─ filters ─> labelled pictures, with their provenance
augmentation_verdict ─ training part ─ splits ─ arms ─> one sentence on the test part
"""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import nn

from sfumato.core import atomic_io, outputs
from sfumato.core.device import select_device
from sfumato.core.errors import DataError, SettingError
from sfumato.core.text import file_names, inner_path
from sfumato.data.dataset import Dataset
from sfumato.data.load import load, part_of
from sfumato.data.mixed import matched_labels
from sfumato.evaluation.augmentation_arms import Source, arm_settings, trained
from sfumato.evaluation.augmentation_verdict import RATIOS, RUNS, SPLITS, AugmentationVerdict, Experiment, run_experiment
from sfumato.evaluation.synthetic import Kept, copy_test, labelled_images
from sfumato.generation.generate import opened_generator
from sfumato.generation.result import image_recipes, save_generated
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.generator import Generator
from sfumato.recipes import recipe
from sfumato.store import checkpoint
from sfumato.store.loaded import LoadedModel, Model
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings

TABLE, GENERATOR = "augment.csv", "generator.safetensors"
"""Files beside the class folders: a line for each picture, and the generator if it was trained."""
PER_CLASS = 200
"""Pictures of each class, by default."""
BUDGET, SPLIT_BUDGET = "20min", "10min"
"""Default time for the training of the generator, and of that for each split of a verdict."""


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """Generated pictures of each class, and the generator that made them."""

    kept: Kept
    model: LoadedModel[Generator]
    trained: bool
    """Whether the generator was trained for this, so that `save` writes it too."""
    train: Dataset
    """The real training images."""

    @property
    def images(self) -> Dataset:
        """The pictures with their labels, to train on: `MixedDataset.mix(train, images)`."""
        return self.kept.images

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes a folder for each class, `augment.csv`, and a generator that was trained, into the folder `path`; returns the files.

        Each PNG holds its seed, its class and the hash of the generator. Raises SettingError as `check_folder`.
        """
        folder = Path(path)
        check_folder(folder, overwrite=overwrite)
        return save_files(output_files(folder), lambda: self.write(folder), by="augment", overwrite=overwrite)

    def write(self, folder: Path) -> None:
        """Writes the files at once. Pictures that an earlier table in the folder lists are removed first. Raises StorageError."""
        _remove_earlier(folder)
        labels = self._labels()
        names = [self.train.classes[label] for label in labels]
        recipes = image_recipes(self.model.network, self.kept.seeds, names, 1.0)
        for path, pixels, facts in zip(self.paths(), self.images.pixels, recipes, strict=True):
            with atomic_io.storing(folder / path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
            save_generated(folder / path, pixels.permute(1, 2, 0).contiguous(), facts)
        if self.trained:
            checkpoint.save_model(folder / GENERATOR, cast(LoadedModel[nn.Module], self.model))
        atomic_io.write(folder / TABLE, self._table(names))

    def paths(self) -> list[Path]:
        """The path of each picture below the folder: its class and its seed."""
        folders = file_names(self.train.classes)
        return [Path(folders[label]) / f"{seed:06d}.png" for label, seed in zip(self._labels(), self.kept.seeds, strict=True)]

    def _labels(self) -> list[int]:
        return [] if self.images.labels is None else self.images.labels.tolist()

    def _table(self, names: list[str]) -> str:
        """A line for each picture: file, class, seed, hash of the model, and the nearest training image with its distance."""
        text, model = io.StringIO(), weights_hash(self.model.network)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("file", "class", "seed", "model", "nearest", "distance"))
        columns = (self.paths(), names, self.kept.seeds, self.kept.nearest, self.kept.distances)
        for path, name, seed, nearest, distance in zip(*columns, strict=True):
            writer.writerow((path.as_posix(), name, seed, model, nearest, f"{distance:.6g}"))
        return text.getvalue()


def augment(
    data: str | Path | Dataset,
    *,
    per_class: int = PER_CLASS,
    model: Model | None = None,
    budget: str = "",
    classifier: TrainSettings | None = None,
    seed: int = 0,
    watch: Callback | None = None,
    device: str = "auto",
) -> Augmented:
    """`per_class` generated pictures of each class of `data`; the result has `save(folder)` and `images`.

    The generator is `model`, or one that is trained for `budget` (20min by default) on the training part of `data`; a `Dataset` is the
    training part. Pictures that are copies of training images, or that a classifier trained on these (by the settings `classifier`) puts
    into another class, are left out. `watch` follows the training of the generator. Raises SettingError for a `model` together
    with a `budget`, and for a model without these classes; DataError for images without classes.
    """
    if model is not None and budget:
        raise SettingError(f"budget = {budget} is for training a generator, and a model is given too; give only one of them")
    if per_class < 1:
        raise SettingError(f"per_class = {per_class} must be at least 1")
    source = None if model is None else opened_generator(model).to(select_device(device))
    train = data if isinstance(data, Dataset) else _part(data, source, "train")
    _check_classes(train)
    generator = source or trained_generator(train, budget or BUDGET, seed=seed, watch=watch, device=device)
    kept = _filtered_images(generator, train, per_class, classifier, seed=seed, device=device)
    return Augmented(kept=kept, model=generator, trained=source is None, train=train)


def augmentation_verdict(
    data: str | Path | Dataset,
    *,
    test: Dataset | None = None,
    model: Model | None = None,
    synthetic: str | Path | Dataset | Source | None = None,
    budget: str = "",
    per_class: int | None = None,
    ratios: tuple[float, ...] = RATIOS,
    splits: int = SPLITS,
    runs: int = RUNS,
    classifier: TrainSettings | None = None,
    images: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> AugmentationVerdict:
    """Whether synthetic images help a classifier of `data`, with `sentence`, figures and `save(path)`.

    One of three gives the synthetic images: the generator `model` (its images go through the filters of `augment`), `synthetic` (a folder
    with a sub-folder for each class, a `Dataset`, or a function of the training images of a split and a number for each class), or a
    `budget` (10min by default), for which a generator is trained anew on the training images of each split. A model or a folder must come
    from the training part of `data` alone. A `Dataset` is divided by its content unless `test` holds the test images.

    Each of `splits` splits takes `per_class` real images of each class to train on (four fifths of all if None), and `runs` seeds. The
    `classifier` is trained on `images` images in each arm. Raises SettingError for more than one source, and as `Experiment.check`;
    DataError for images without classes.
    """
    if sum((model is not None, synthetic is not None, bool(budget))) > 1:
        raise SettingError("give the synthetic images in one way: a model, a folder of synthetic images, or a budget to train generators")
    source = None if model is None else opened_generator(model).to(select_device(device))
    train = part_of(data, "train") if isinstance(data, Dataset) and test is None else data
    pool = train if isinstance(train, Dataset) else _part(train, source, "train")
    if test is None:
        test = part_of(data, "test") if isinstance(data, Dataset) else _part(data, source, "test")
    _check_classes(pool)
    experiment = Experiment(
        source=_source(source, synthetic, budget, pool, classifier, seed=seed, device=device),
        repeat=synthetic is None,
        per_class=per_class,
        ratios=ratios,
        splits=splits,
        runs=runs,
        classifier=classifier,
        images=images,
        seed=seed,
        device=device,
    )
    return run_experiment(experiment, pool, dataclasses.replace(test, labels=matched_labels(test, pool), classes=pool.classes))


def trained_generator(train: Dataset, budget: str, *, seed: int, watch: Callback | None = None, device: str) -> LoadedModel[Generator]:
    """A generator with classes, trained on `train` for `budget`. Raises KeyboardInterrupt if the training is interrupted."""
    settings = dataclasses.replace(recipe("dcgan"), data=train.name, budget=budget, seed=seed)
    model = fit(settings, data=train, watch=watch, device=device)
    if model.interrupted:
        raise KeyboardInterrupt
    return opened_generator(model)


def output_files(folder: Path) -> list[Path]:
    """The files of `Augmented.save` whose names do not depend on the pictures. Raises SettingError for a name that ends like a file."""
    outputs.check_folder_name(folder)
    return [folder / TABLE, folder / GENERATOR]


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Raises SettingError if `folder` holds something already, unless with `overwrite`; StorageError if nothing can be written there."""
    outputs.check_folder_name(folder)
    outputs.check_folder(folder)
    if folder.is_dir() and not overwrite and (inside := sorted(folder.iterdir())):
        raise SettingError(f"{folder} is not empty ({inside[0].name}); {outputs.ADVICE}")


def _filtered_images(
    generator: LoadedModel[Generator], train: Dataset, per_class: int, classifier: TrainSettings | None, *, seed: int, device: str
) -> Kept:
    """Images of the generator through both filters, whose classifier is trained on `train`."""
    network = trained(arm_settings(classifier, len(train), None), train, seed=seed, device=device)
    return labelled_images(generator, train, per_class, classifier=network, copies=copy_test(train), seed=seed, device=device)


def _source(
    model: LoadedModel[Generator] | None,
    synthetic: str | Path | Dataset | Source | None,
    budget: str,
    pool: Dataset,
    classifier: TrainSettings | None,
    *,
    seed: int,
    device: str,
) -> Source:
    """The synthetic images for each split."""
    if isinstance(synthetic, str | Path):
        size = (pool.pixels.shape[2], pool.pixels.shape[3])
        synthetic = load(synthetic, size=size, channels=pool.pixels.shape[1], part="all")
    if isinstance(synthetic, Dataset):
        images = dataclasses.replace(synthetic, labels=matched_labels(synthetic, pool), classes=pool.classes)
        return lambda _, __: images
    if isinstance(synthetic, Callable):
        return synthetic

    def generated(train: Dataset, per_class: int) -> Dataset:
        generator = model or trained_generator(train, budget or SPLIT_BUDGET, seed=seed, device=device)
        return _filtered_images(generator, train, per_class, classifier, seed=seed, device=device).images

    return generated


def _part(data: str | Path, source: LoadedModel[Generator] | None, part: str) -> Dataset:
    """One part of `data`, at the size and with the channels of the generator if there is one."""
    network = None if source is None else source.network
    size, channels = (None, None) if network is None else (network.size, network.channels)
    return load(data, size=size, channels=channels, part="test" if part == "test" else "train")


def _check_classes(data: Dataset) -> None:
    if data.labels is None or len(data.classes) < 2:
        why = data.labels_from or "there are fewer than two"
        raise DataError(f"{data.name} has no classes ({why}); put the images into one folder for each class")


def _remove_earlier(folder: Path) -> None:
    """Removes the pictures that the table of an earlier call lists."""
    table = folder / TABLE
    if not table.is_file():
        return
    with atomic_io.storing(table):
        # Line by line: a line that is none of ours may be too long for the reader, and ours hold no line breaks in the first column.
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(csv.Error):
                path = inner_path("".join(next(csv.reader([line]), [])[:1]))
                # A link inside the folder may lead out of it.
                if path is not None and path.suffix == ".png" and (folder / path).parent.resolve().is_relative_to(folder.resolve()):
                    (folder / path).unlink(missing_ok=True)
