"""Figures of a model, each with its interval and its protocol.

A classifier is measured on images that it was not trained on. A generator is compared with its training images, in the features of
another network, beside the floor (real images against real ones); a classifier of the same classes says whether its images show the class
that was asked for. A latent variable model also gives the likelihood of images that it was not trained on.
"""

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import torch

from sfumato.core.device import Precision, autocast, select_device, select_precision
from sfumato.core.errors import DataError, SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import PerImage, to_images
from sfumato.core.text import printable
from sfumato.data.dataset import Dataset
from sfumato.data.load import load
from sfumato.evaluation.diversity import comparer, diversity_operations, perceptual_diversity
from sfumato.evaluation.features import HasShape, class_scores, feature_operations, matching_features, suited
from sfumato.evaluation.generators import LEAST, generator_operations, judge_generator, judge_images, reference
from sfumato.evaluation.picture_sets import evaluate_pictures, is_pictures
from sfumato.evaluation.report import Report, output_files, save  # noqa: F401 (the verb finds them here)
from sfumato.evaluation.roles import measurable_roles
from sfumato.evaluation.stages import image_operations, stages
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.classification import classification_report
from sfumato.metrics.interval import bootstrap
from sfumato.metrics.likelihood import bits_per_dimension, importance_sampled
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model
from sfumato.train.held_out import recorded

REAL = "real"
"""In the place of a model: the images themselves, one half against the other. Of them there is the floor alone."""
COUNT, SAMPLES = 10_000, 1000
"""Generated images that are compared, and latents for the likelihood of an image, where no other numbers are given."""


class Part(NamedTuple):
    """A group of measurements."""

    cost: float
    """Arithmetic operations, roughly."""
    measure: Callable[[], list[Measurement]]


def evaluate(
    model: Model,
    data: str | Path | Dataset | None = None,
    *,
    features: Model | None = None,
    compare: str | None = None,
    count: int = COUNT,
    whole: bool = False,
    samples: int = SAMPLES,
    images: int | None = None,
    seed: int = 0,
    precision: Precision = "fp32",
    device: str = "auto",
) -> Report:
    """All measurements of `model` on `data`, by default on the images that it was trained on; the result has `save(path)`.

    Classifiers: accuracy. Latent variable models: likelihood, from `samples` latents for each of the first `images` test images (all by
    default), computed in `precision`. Generators: distances of `count` images, of seeds `seed`, `seed` + 1, ..., to the training images,
    and of the test images to these as the floor. With `whole`, generated images are compared with training and test images together,
    and the floor is one half of them against the other. `features` names the network in whose features images are compared (by
    default a bundled classifier of the same data, else the pixels themselves), and `compare` a network that compares two images, such as
    lpips-squeeze, for path length and variety. For the model `real`, which is the images themselves, there is the floor alone. In the place
    of the model, a folder or a zip of pictures that any program made is compared with all of `data`, in the features that are named.

    Raises SettingError for a restorer and for a network without measurements.
    """
    target = select_device(device)
    if model == REAL:
        data = data if isinstance(data, Dataset) else load(_named_data(data), part="all")
        return Report(judge_images(data, features, target, count=count, seed=seed))
    if is_pictures(model):
        return evaluate_pictures(model, data, features=features, device=target, count=count, seed=seed)
    measured = weights.model_of(model).to(target)
    roles = measurable_roles(measured.network)
    # Names without a network are refused before the work.
    generator = None if roles.generator is None else cast(LoadedModel[Generator], measured)
    extractor = suited(features, generator.network) if features is not None and generator is not None else None
    perceptual = comparer(compare, count) if compare is not None and generator is not None else None
    train, test = compared(measured, data, whole=whole)
    note = _test_note(train, test, whole=whole, handed_in=isinstance(data, Dataset))
    draw = {"count": count, "seed": seed}
    parts = _classifier_parts(roles.classifier, test, note)
    parts |= _likelihood_parts(roles.latent_variable_model, test, note, samples=samples, images=images, seed=seed, precision=precision)
    if generator is not None:
        parts |= _generator_parts(generator, train, test, extractor, target, **draw, whole=whole)
    if generator is not None and perceptual is not None and compare is not None:
        parts |= _diversity_parts(generator, train, perceptual.to(target), inside(compare), **draw)
    report = Report()
    with stages("parts", {name: part.cost for name, part in parts.items()}) as stage:
        for name, part in parts.items():
            with stage(name):
                report += part.measure()
    return report


def compared(model: Model, data: str | Path | Dataset | None, *, whole: bool = False) -> tuple[Dataset, Dataset]:
    """The training and the test images with which `model` is measured. A `Dataset` as `data` is both; with `whole`, all images are both.

    If a small source holds out no image, its training images are both. Without `data`, the source is the one of the training. Raises
    SettingError if that source is not recorded, not here, or has other images now; DataError if `data` cannot be read.
    """
    if isinstance(data, Dataset):
        return data, data
    measured = weights.model_of(model)
    network, card = measured.network, measured.card
    if not isinstance(network, HasShape):
        raise SettingError(f"there is no measurement for a {type(network).__name__}; name a generator, a classifier or a restorer")
    source = data if data is not None else card.training_data
    if source is None or (data is None and printable(str(source)) != str(source)):
        raise SettingError("this model does not say what it was trained on; name the images with --data")
    split_by = recorded(card.data.split_by) if card.training else "original"
    part_of = functools.partial(load, source, size=network.size, channels=network.channels, crop=card.crop, split_by=split_by)
    try:
        train = part_of(part="train")
    except DataError as error:
        if data is not None:
            raise
        raise SettingError(
            f"the images that this model was trained on, {source}, cannot be found; give their folder with --data"
        ) from error
    if data is None and train.fingerprint != card.data.sha256:
        raise SettingError(f"this model was not trained on the images that {source} holds now; name the images to use with --data")
    if whole:
        return (every := part_of(part="all")), every
    try:
        return train, part_of(part="test")
    except DataError:
        if train.kept_back:
            raise
        return train, train


def judge_classifier(network: Classifier, test: Dataset, *, notes: str = "") -> list[Measurement]:
    """Accuracy on `test`, and of each class; `notes` go into the protocol. Raises SettingError if the classes of `test` are others."""
    if test.labels is None or len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the classifier {network.classes}; they must be the same")
    protocol = Protocol(reference=reference(test), notes="; ".join(filter(None, ["images as they are, float32", notes])))
    return classification_report(class_scores(network, test.pixels), test.labels, classes=test.classes, protocol=protocol)


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
    """Minus log p(x) in nats per image, on the first `images` of `test`; for models of discrete values also in bits per dimension.

    In bf16 this is the likelihood of the rounded network: no approximation, because its distributions sum to one too. Raises
    SettingError if the classes of `test` are not those of the model.
    """
    if network.classes and len(test.classes) != network.classes:
        raise SettingError(f"{test.name} has {len(test.classes)} classes, the model {network.classes}; they must be the same")
    precision = select_precision(precision, next(network.parameters()).device)
    chosen = test.pixels[:images]
    nats = _log_likelihoods(network, test, len(chosen), samples=samples, seed=seed, precision=precision)
    rng = seeded_generator(seed, "bootstrap")
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


def _test_note(train: Dataset, test: Dataset, *, whole: bool, handed_in: bool) -> str:
    """The images on which single images are measured, if these are not many held-out ones; else empty."""
    if handed_in:
        return ""
    if whole:
        return f"on all {len(test)} images, among which are those that the model was trained on"
    if test is train:
        return (
            f"on the {len(train)} images of the training part, because no image of {train.name} is held out: others may give worse figures"
        )
    return f"on the {len(test)} images that are held out of {test.name}, which are few" if len(test) < LEAST else ""


def _classifier_parts(network: Classifier | None, test: Dataset, note: str) -> dict[str, Part]:
    """The accuracy, if the network is a classifier."""
    if network is None:
        return {}
    return {"accuracy": Part(len(test) * feature_operations(network, test), partial(judge_classifier, network, test, notes=note))}


def _likelihood_parts(
    network: LatentVariableModel | None, test: Dataset, note: str, *, samples: int, images: int | None, seed: int, precision: Precision
) -> dict[str, Part]:
    """The likelihood, if the network has one: each of its samples is one image through the decoder."""
    if network is None:
        return {}
    cost = len(test.pixels[:images]) * samples * image_operations(network)
    measure = partial(judge_likelihood, network, test, samples=samples, images=images, seed=seed, precision=precision, notes=note)
    return {"likelihood": Part(cost, measure)}


def _generator_parts(
    source: LoadedModel[Generator],
    train: Dataset,
    test: Dataset,
    extractor: LoadedModel[FeatureExtractor] | None,
    device: torch.device,
    *,
    count: int,
    seed: int,
    whole: bool,
) -> dict[str, Part]:
    """The distances of generated images to real ones."""
    chosen = (extractor or matching_features(source.network, train)).to(device)
    cost = generator_operations(source, train, test, chosen, count=count, halves=whole)
    return {"distances": Part(cost, partial(judge_generator, source, train, test, chosen, count=count, seed=seed, halves=whole))}


def _diversity_parts(
    source: LoadedModel[Generator], train: Dataset, compare: PerceptualMetric, name: str, *, count: int, seed: int
) -> dict[str, Part]:
    """Path length and variety."""
    cost = diversity_operations(source, train, compare, count=count)
    return {"diversity": Part(cost, partial(perceptual_diversity, source, train, compare, name=name, count=count, seed=seed))}


def _log_likelihoods(network: LatentVariableModel, test: Dataset, count: int, *, samples: int, seed: int, precision: Precision) -> PerImage:
    """The log-likelihood in nats of each of the first `count` images of `test`."""
    device, parts = next(network.parameters()).device, []
    for start in counted(range(0, count, 100), "batches of likelihoods"):
        stop = min(start + 100, count)
        labels = test.labels[start:stop] if network.classes and test.labels is not None else None
        rng = seeded_generator(seed, "likelihood", start)
        with autocast(precision, device):
            images = to_images(test.pixels[start:stop])
            parts.append(importance_sampled(network, images, labels, samples=samples, rng=rng, chunk=2000))
    return torch.cat(parts)


def _named_data(data: str | Path | None) -> str | Path:
    if data is None:
        raise SettingError("the model `real` is the images themselves; name them with --data")
    return data
