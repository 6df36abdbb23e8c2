"""The figures of the verb `evaluate`, and which of its flags go together.

Only imported by that verb: all of torch comes with it.
"""

from typing import TypedDict

from sfumato.cli.terminal import console
from sfumato.cli.verbs import progress
from sfumato.core.device import Precision
from sfumato.core.errors import SettingError
from sfumato.data.scenes import existing_data
from sfumato.evaluation import evaluate as job
from sfumato.evaluation import score
from sfumato.evaluation.benchmark import judge
from sfumato.metrics.base import Measurement
from sfumato.restoration.request import Ways
from sfumato.store.weights import existing_model
from sfumato.train.progress import ProgressLine

SET = "set12"
"""The pictures on which a restorer is measured if none are named."""
_ALSO = {"--compress": {"images"}, "--restore": {"compare", "precision", "device"}}
"""Flags for generators and classifiers that also have an effect with codecs and restorers."""
_UNSET = {"whole": False, "seed": 0, "accuracy_score": False, "precision": "fp32", "device": "auto"}
"""Values of flags that were not given; None of all others."""


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


def check(restore: str | None, *, compress: bool, ensemble: int, accuracy_score: bool, options: Options, sampling: Sampling) -> None:
    """Raises SettingError for flags of `evaluate` that have no effect together."""
    if restore is not None and compress:
        raise SettingError(f"--restore {restore} is for restorers and has no effect with --compress; leave one of them out")
    if ensemble != 1 and restore is None:
        raise SettingError(
            f"--ensemble {ensemble} is for restorers and has no effect without --restore; name a degradation, such as noise:25"
        )
    measured = "--compress" if compress else "--restore" if restore is not None else ""
    values: dict[str, object] = {**options, **sampling, "accuracy_score": accuracy_score}
    for name, value in values.items():
        if measured and value != _UNSET.get(name) and name not in _ALSO[measured]:
            flag = f"--{name.replace('_', '-')}"
            raise SettingError(f"{flag if value is True else f'{flag} {value}'} has no effect with {measured}; leave one of them out")


def read_files(model: str, data: str | None, features: str | None, compare: str | None, *, restores: bool) -> tuple[str | None, ...]:
    """Names of models and data that are read, each of which is there. Raises SfumatoError, naming the first that is not."""
    # Methods, and the images themselves, have no file.
    own = model if restores or model == job.REAL else existing_model(model)
    return own, existing_model(features), existing_model(compare), existing_data(data)


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
