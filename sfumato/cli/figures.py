"""The figures of the verb `evaluate`, and which of its flags go together.

Only imported by that verb: all of torch comes with it.
"""

from pathlib import Path
from typing import TypedDict

from sfumato.cli.terminal import console
from sfumato.cli.verbs import progress
from sfumato.core.device import Precision
from sfumato.core.errors import SettingError
from sfumato.data.scenes import existing_data
from sfumato.evaluation import evaluate as job
from sfumato.evaluation import score
from sfumato.evaluation.benchmark import judge
from sfumato.evaluation.pairs import evaluate_pairs, existing_pictures
from sfumato.evaluation.picture_sets import is_pictures
from sfumato.metrics.base import Measurement
from sfumato.restoration.request import Ways
from sfumato.store.weights import existing_model
from sfumato.train.progress import ProgressLine

SET = "set12"
"""The pictures on which a restorer is measured if none are named."""
_PICTURES = "a folder of pictures"
_ALSO = {
    "--compress": {"data", "images"},
    "--restore": {"data", "compare", "precision", "ensemble", "device"},
    "--reference": {"compare", "border"},
    _PICTURES: {"data", "features", "count", "seed", "device"},
}
"""Kind of measurement to the flags that have an effect with it. Without any, a model is measured in its own way."""
_ONLY_WITH = {
    "ensemble": "is for restorers and has no effect without --restore; name a degradation, such as noise:25",
    "border": "has no effect without --reference; name the true pictures with it",
}
"""Flag of one kind to the error without that kind."""
_UNSET = {"whole": False, "seed": 0, "accuracy_score": False, "precision": "fp32", "device": "auto", "ensemble": 1, "border": 0}
"""Values of flags that were not given; None of all others."""


class Kind(TypedDict):
    """The flags that choose what is measured: at most one of them is given."""

    restore: str | None
    compress: bool
    reference: Path | None


class Options(TypedDict):
    """The arguments that the measurements of restorers and of other models share."""

    compare: str | None
    precision: Precision
    device: str


class Sampling(TypedDict):
    """The arguments of `evaluate` for generators and classifiers."""

    features: str | None
    count: int | None
    whole: bool
    samples: int | None
    images: int | None
    seed: int


class Others(TypedDict):
    """Arguments of `evaluate` that each belong to one kind of measurement."""

    ensemble: Ways
    accuracy_score: bool
    border: int


def check(model: str, kind: Kind, options: Options, sampling: Sampling, others: Others, data: str | None) -> tuple[str | Path | None, ...]:
    """The names of models and of data that are read, each of which is there.

    Raises SettingError for flags of `evaluate` that have no effect together, SfumatoError for the first name that is not there.
    """
    chosen = {
        f"--restore {kind['restore']}": kind["restore"] is not None,
        "--compress": kind["compress"],
        "--reference": kind["reference"] is not None,
    }
    of_pictures = bool(is_pictures(model))
    given = [flag for flag, is_given in chosen.items() if is_given]
    if len(given) > 1:
        raise SettingError(f"{given[0]} has no effect with {given[1]}; leave one of them out")
    measured = given[0].split()[0] if given else _PICTURES if of_pictures else ""
    for name, value in {**options, **sampling, **others, "data": data}.items():
        if value == _UNSET.get(name) or name in _ALSO.get(measured, ()):
            continue
        flag = f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
        if name in _ONLY_WITH:
            raise SettingError(f"{flag} {_ONLY_WITH[name]}")
        if measured:
            raise SettingError(f"{flag} has no effect with {measured}; leave one of them out")
    return _read_files(model, kind, data, sampling["features"], options["compare"])


def _read_files(model: str, kind: Kind, data: str | None, features: str | None, compare: str | None) -> tuple[str | Path | None, ...]:
    """Names of models and data that are read, each of which is there. Raises SfumatoError, naming the first that is not."""
    if kind["reference"] is not None:
        return existing_pictures(model), existing_pictures(kind["reference"]), existing_model(compare)
    # Methods, and the images themselves, have no file.
    no_model = kind["restore"] is not None or model == job.REAL or is_pictures(model)
    own = model if no_model else existing_model(model)
    return own, existing_model(features), existing_model(compare), existing_data(data)


def report(model: str, kind: Kind, data: str | None, options: Options, sampling: Sampling, others: Others) -> list[Measurement]:
    """The figures of a model, or of pictures, shown with progress."""
    if kind["reference"] is not None:
        return pairs_report(model, kind["reference"], compare=options["compare"], border=others["border"])
    if kind["restore"] is not None:
        return restorer_report(model, kind["restore"], data, ensemble=others["ensemble"], options=options)
    return model_report(model, data, accuracy_score=others["accuracy_score"], options=options, sampling=sampling)


def pairs_report(pictures: str, references: Path, *, compare: str | None, border: int) -> list[Measurement]:
    """The figures of pictures beside their references, shown with progress."""
    with progress():
        return evaluate_pairs(pictures, references, compare=compare, border=border)


def restorer_report(model: str, degradation: str, data: str | None, *, ensemble: Ways, options: Options) -> list[Measurement]:
    """The figures of a restorer, a classical method or `auto`, shown with progress."""
    with progress():
        return judge(model, degradation, data or SET, ensemble=ensemble, **options)


def model_report(model: str, data: str | None, *, accuracy_score: bool, options: Options, sampling: Sampling) -> list[Measurement]:
    """The figures of a generator or a classifier, shown with progress; with `accuracy_score` also those of a classifier trained on it."""
    if accuracy_score:
        score.check(model, data)
    with progress():
        report = job.evaluate(
            model,
            data,
            **options,
            features=sampling["features"],
            count=sampling["count"] or job.COUNT,
            whole=sampling["whole"],
            samples=sampling["samples"] or job.SAMPLES,
            images=sampling["images"],
            seed=sampling["seed"],
        )
        images = score.generated(model, seed=sampling["seed"], device=options["device"]) if accuracy_score else None
    if images is not None:
        watch = ProgressLine(console)  # the training has a line of its own
        report.append(score.accuracy_score(model, data, images=images, seed=sampling["seed"], watch=watch, device=options["device"]))
    return report
