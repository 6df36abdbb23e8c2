"""How good a model is, in figures that carry their protocol.

A classifier is asked about images it never saw. A generator is compared with the images it was trained on, in the features of
a network it never met, beside the floor (real images against real ones) and, class by class, whether its images show what
was asked for. A VAE also says how likely it finds images it never saw.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple, cast, runtime_checkable
from typing import Protocol as Interface

import torch

from sfumato.core import atomic_io, outputs
from sfumato.core.device import Precision, autocast, select_device, select_precision
from sfumato.core.errors import DataError, SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, Vectors, to_bytes, to_images
from sfumato.core.text import printable
from sfumato.data.dataset import Dataset
from sfumato.data.load import load
from sfumato.evaluation.diversity import comparer, perceptual_diversity
from sfumato.generation.generate import class_names, generate, labels_of, sampler
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.classification import classification_report
from sfumato.metrics.distribution import distribution_report
from sfumato.metrics.features import Pixels, describe, weights_hash
from sfumato.metrics.interval import bootstrap
from sfumato.metrics.likelihood import bits_per_dimension, importance_sampled
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import Backbone, FeatureExtractor
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.restorer import Restorer
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model
from sfumato.store.zoo import list_models
from sfumato.train.held_out import recorded

REAL = "real"
"""What is measured under this name is the images themselves, one half against the other: the floor alone."""
LEAST = 20
"""Images without which a distance between two sets says nothing."""


@runtime_checkable
class HasShape(Interface):
    """Anything with the size and the channels of images, such as a network."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def channels(self) -> int: ...


class ImageShape(NamedTuple):
    """The shape of images."""

    size: tuple[int, int]
    """Height and width."""
    channels: int


def evaluate(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    features: Model | None = None,
    compare: str | None = None,
    count: int = 10_000,
    whole: bool = False,
    samples: int = 1000,
    images: int | None = None,
    seed: int = 0,
    precision: Precision = "fp32",
    device: str = "auto",
) -> list[Measurement]:
    """Everything that can be measured of `model` on `data` (by default, what it was trained on).

    `count` images are generated from seeds `seed`, `seed` + 1, ...; `features` names the network in whose features they are
    compared (by default a bundled classifier of the same data, else the pixels themselves), and `compare` one that compares two images,
    such as lpips-squeeze, for the path length and the variety of what is generated. The floor is the test images against the
    training images; with `whole`, generated images are compared with both together, and the floor is one half of them against the other.
    Of the model `real`, which is the images themselves, there is that floor alone. For likelihoods, `samples` latents
    are drawn for each of the first `images` test images (all by default), and the network computes in `precision`. Raises
    SettingError if nothing of the model can be measured.
    """
    where = select_device(device)
    if model == REAL:
        return judge_images(
            load(_named_data(data), part="all") if not isinstance(data, Dataset) else data, features, where, count=count, seed=seed
        )
    measured = weights.model_of(model)
    network = measured.to(where).network
    if isinstance(network, Restorer):
        raise SettingError(
            "this model repairs images: name a damage with --restore, such as noise:25 or x2 (evaluation/benchmark.py in Python)"
        )
    if not isinstance(network, Classifier | StyleGenerator):
        raise SettingError(f"nothing is known to measure about a {type(network).__name__}")
    # Names that are not known are told before the work.
    generates = isinstance(network, StyleGenerator)
    observer = suited(features, network) if features is not None and generates else None
    looker = comparer(compare, count) if compare is not None and generates else None
    train, test = compared(measured, data, whole=whole)
    measured_on = seen_or_not(train, test, whole=whole, handed_in=isinstance(data, Dataset))
    report: list[Measurement] = []
    if isinstance(network, Classifier):
        report += judge_classifier(network, test, notes=measured_on)
    if isinstance(network, LatentVariableModel):
        report += judge_likelihood(network, test, samples=samples, images=images, seed=seed, precision=precision, notes=measured_on)
    if isinstance(network, StyleGenerator):
        observer = observer or matching_features(network, train)
        report += judge_generator(measured, train, test, observer.to(where), count=count, seed=seed, halves=whole)
        if compare is not None and looker is not None:
            report += perceptual_diversity(measured, train, looker.to(where), name=inside(compare), count=count, seed=seed)
    return report


def compared(model: Model, data: str | Path | Dataset | None, *, whole: bool = False) -> tuple[Dataset, Dataset]:
    """The training and the test images that `network` is measured with; a data set that is handed in is both, and so is a `whole` one.

    Of a source so small that none of its images is held out, the training images are both too. Raises SettingError if none are named and
    those that `network` was trained on are not to be found, or are no longer the same.
    """
    if isinstance(data, Dataset):
        return data, data
    measured = weights.model_of(model)
    network, card = measured.network, measured.card
    if not isinstance(network, Generator | Classifier):
        raise SettingError(f"nothing is known to measure about a {type(network).__name__}")
    source = data if data is not None else card.training_data
    if source is None or (data is None and printable(str(source)) != str(source)):
        raise SettingError("this model does not say what it was trained on; name the images with --data")
    shape: dict[str, Any] = {"size": network.size, "channels": network.channels, "crop": card.crop}
    shape["split_by"] = recorded(card.data.split_by) if card.training else "original"
    try:
        train = load(source, part="train", **shape)
    except DataError as error:
        if data is not None:
            raise
        raise SettingError(f"the images that this model was trained on, {source}, are not here; name their place with --data") from error
    if data is None and train.fingerprint != card.data.sha256:
        raise SettingError(f"this model was not trained on the images that {source} holds now; name those to measure it with by --data")
    if whole:
        return (both := load(source, part="all", **shape)), both
    try:
        return train, load(source, part="test", **shape)
    except DataError:
        if train.kept_back:
            raise
        return train, train


def seen_or_not(train: Dataset, test: Dataset, *, whole: bool, handed_in: bool) -> str:
    """Whether what is measured of single images is measured on images that the model may have seen, or on few; empty if on neither."""
    if handed_in:
        return ""
    if whole:
        return f"on all {len(test)} images, among which are those that the model was trained on"
    if test is train:
        return f"on the {len(train)} images of the training part, for of {train.name} no image is held out: of others it may be worse"
    return f"on the {len(test)} images that are held out of {test.name}, which are few" if len(test) < LEAST else ""


def judge_classifier(network: Classifier, test: Dataset, *, notes: str = "") -> list[Measurement]:
    """Accuracy on `test`, and of each class; `notes` go into the protocol."""
    if test.labels is None or len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the classifier {network.classes}; they must be the same")
    protocol = Protocol(reference=reference(test), notes="; ".join(filter(None, ["images as they are, float32", notes])))
    return classification_report(scores(network, test.pixels), test.labels, classes=test.classes, protocol=protocol)


def judge_likelihood(
    network: LatentVariableModel,
    test: Dataset,
    *,
    samples: int,
    images: int | None,
    seed: int,
    precision: Precision = "fp32",
    notes: str = "",
) -> list[Measurement]:
    """Minus log p(x) in nats per image, and in bits per dimension, on the first `images` of `test`.

    In bf16 it is the rounded network whose likelihood is measured: no approximation, for its distributions too sum to one.
    """
    if network.classes and len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the model {network.classes}; they must be the same")
    chosen, where = test.pixels[:images], next(network.parameters()).device
    precision = select_precision(precision, where)
    parts = []
    for start in counted(range(0, len(chosen), 100), "likelihoods"):
        some = to_images(chosen[start : start + 100])
        labels = test.labels[start : start + len(some)] if network.classes and test.labels is not None else None
        rng = seeded_generator(seed, "likelihood", start)
        with autocast(precision, where):
            parts.append(importance_sampled(network, some, labels, samples=samples, rng=rng, chunk=2000))
    nats, rng = torch.cat(parts), seeded_generator(seed, "bootstrap")
    protocol = Protocol(
        reference=reference(test),
        real=len(chosen),
        settings=f"{samples} importance samples an image",
        dtype="bfloat16" if precision == "bf16" else "float32",
        seed=seed,
        interval="95 %, other images of the same kind, bootstrap",
        notes="; ".join(filter(None, ["an upper bound in expectation; bits are drawn once if pixels are bits", notes])),
    )
    rows = [("negative_log_likelihood", "nats", -nats)]
    if network.discrete:
        rows.append(("bits_per_dimension", "bits", bits_per_dimension(nats, chosen.shape[1:])))
    return [
        Measurement(name=name, value=v.mean().item(), interval=bootstrap(v, rng=rng), unit=unit, higher_is_better=False, protocol=protocol)
        for name, unit, v in rows
    ]


def judge_generator(
    model: Model, train: Dataset, test: Dataset, observer: LoadedModel[FeatureExtractor], *, count: int, seed: int, halves: bool = False
) -> list[Measurement]:
    """Distances of `count` generated images to `train`, the same of `test` as the floor, and whether images show their class.

    There is no floor if `test` is `train` itself or is too small for one, and the protocols say so; with `halves` it is one half of
    `train` against the other. Raises DataError for fewer than 20 images to compare with.
    """
    if len(train) < LEAST:
        raise DataError(f"{train.name} has {len(train)} images to compare with, and {LEAST} are the least; name more with --data")
    unseen = () if test is train else test.pixels[:count]
    without = len(unseen) < LEAST and not halves
    notes = f"no floor, for which {LEAST} held-out images are the least, and there are {len(unseen)}; --whole takes one half for it"
    part = "images" if test is train else "images of the training part"
    against = f"against the {len(train)} {part} of {train.name}{f'; {notes}' if without else ''}"
    source = sampler(model)
    network = source.network
    made = to_bytes(generate(source, count, seed=seed, device=str(next(network.parameters()).device)))
    known: dict[str, Any] = {**facts(observer), "reference": reference(train)}
    real = described(observer.network, train.pixels)
    report = distribution_report(
        real, described(observer.network, made), rng=seeded_generator(seed, "report"), seed=seed, notes=against, **known
    )
    if halves:
        report += floor_of_halves(real, known, count=count, seed=seed)
    elif not without:
        fewer = f"only {len(unseen)} images: set it beside --count {len(unseen)}" if len(unseen) < count else ""
        floor = distribution_report(
            real, described(observer.network, test.pixels[:count]), rng=seeded_generator(seed, "report"), notes=fewer, **known
        )
        report += [_renamed(m, f"floor_{m.name}") for m in floor]
    if isinstance(observer.network, Classifier) and network.classes and class_names(source) == class_names(observer):
        asked = labels_of(source, range(seed, seed + count), None)
        assert asked is not None, "a network with classes has labels"
        notes = "share of images in which the classifier sees the class asked for"
        protocol = Protocol(features=known["features"], weights=known["weights"], seed=seed, notes=notes)
        shown = classification_report(scores(observer.network, made), asked, classes=tuple(class_names(source)), protocol=protocol)
        report += [_renamed(m, m.name.replace("accuracy", "shows_asked_class")) for m in shown]
    return report


def judge_images(data: Dataset, features: Model | None, device: torch.device, *, count: int, seed: int) -> list[Measurement]:
    """Distances of one half of `data`, at most `count` images, to as many others: what a generator cannot be expected to go below.

    Raises DataError for fewer than 40 images.
    """
    if len(data) < 2 * LEAST:
        raise DataError(f"{data.name} has {len(data)} images; for the distance of one half to the other {2 * LEAST} are the least")
    shape = ImageShape(size=(data.pixels.shape[2], data.pixels.shape[3]), channels=data.pixels.shape[1])
    observer = suited(features, shape) if features is not None else matching_features(shape, data)
    real = described(observer.to(device).network, data.pixels)
    return floor_of_halves(real, {**facts(observer), "reference": reference(data)}, count=count, seed=seed)


def floor_of_halves(real: Vectors, facts: dict[str, Any], *, count: int, seed: int) -> list[Measurement]:
    """Distances of a random half of `real`, at most `count`, to as many others. `facts` goes into the protocol. None for too few."""
    half = min(count, len(real) // 2)
    if half < LEAST:
        return []
    first, second = real[torch.randperm(len(real), generator=seeded_generator(seed, "halves"))[: 2 * half]].chunk(2)
    notes = "one half of the images against the other, drawn at random"
    floor = distribution_report(first, second, rng=seeded_generator(seed, "report"), notes=notes, **facts)
    return [_renamed(m, f"floor_{m.name}") for m in floor]


def described(observer: FeatureExtractor, pixels: Bytes) -> Vectors:
    """The features of all images, on the CPU."""
    return describe(observer, pixels, batch=32 if isinstance(observer, Backbone) else 500)


def facts(observer: LoadedModel[FeatureExtractor]) -> dict[str, str]:
    """What a protocol says about the network whose features are compared."""
    network = observer.network
    kind = "" if isinstance(network, Backbone) else type(network).__name__.lower()
    name = f"{kind} {observer.card.data.name}".strip() or "features"
    return {"features": name, "weights": weights_hash(network), "resize": getattr(network, "resizing", "none")}


def suited(features: Model, network: HasShape) -> LoadedModel[FeatureExtractor]:
    """The model `features`, if it can look at the images of `network`. Raises SettingError if it makes none, or takes other images."""
    model = weights.model_of(features)
    observer = model.network
    if not isinstance(observer, FeatureExtractor):
        raise SettingError(
            f"features: a {type(observer).__name__} gives no feature vectors; name a classifier, squeezenet or inception with --features"
        )
    if isinstance(observer, Backbone) and network.channels not in (1, observer.channels):
        raise SettingError(
            f"features: that network looks at grey or coloured images, the model's have {network.channels} channels; "
            "name another with --features"
        )
    takes, makes = ((getattr(n, "size", None), getattr(n, "channels", None)) for n in (observer, network))
    if isinstance(observer, Classifier) and takes != makes:
        raise SettingError(
            f"features: that network takes images of size {takes[0]} and {takes[1]} channels, the model's have {makes[0]} and {makes[1]}; "
            "name another with --features"
        )
    return cast(LoadedModel[FeatureExtractor], model)


def matching_features(network: HasShape, train: Dataset) -> LoadedModel[FeatureExtractor]:
    """A bundled classifier of the same data, size and channels; failing that, the pixels themselves."""
    for entry in list_models():
        if entry.family == "classifier" and entry.card.data.name == train.name:
            model = weights.opened(entry.path, Classifier, otherwise="is no classifier")
            if (model.network.size, model.network.channels) == (network.size, network.channels):
                return model
    return LoadedModel(network=Pixels(channels=network.channels, side=min(8, *network.size)))


@torch.no_grad()
def scores(network: Classifier, pixels: Bytes) -> Vectors:
    """The classifier's scores of all images, on the CPU."""
    where = next(network.parameters()).device
    return torch.cat([network.classify(to_images(part.to(where))).cpu() for part in pixels.split(500)])


def output_files(out: Path | None) -> list[Path]:
    """The file that `save` will write, if any. Raises SettingError for the ending of another kind of file."""
    if out is not None and out.suffix.lower() in outputs.FILE_ENDINGS - {".json"}:
        raise SettingError(f"{out}: figures are written as .json; choose another --out")
    return [] if out is None else [out]


def save(report: list[Measurement], out: Path) -> Path:
    """Writes the measurements as JSON. Returns the path."""
    atomic_io.write(out, json.dumps([m.as_dict() for m in report], indent=2) + "\n")
    return out


def reference(data: Dataset) -> str:
    """Name and fingerprint of a data set, for protocols."""
    return f"{data.name} {data.fingerprint[:8]}"


def _named_data(data: str | Path | None) -> str | Path:
    if data is None:
        raise SettingError("the model `real` is the images themselves; name them with --data")
    return data


def _renamed(measurement: Measurement, name: str) -> Measurement:
    return dataclasses.replace(measurement, name=name)
