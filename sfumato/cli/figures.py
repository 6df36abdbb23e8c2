"""The figures of the verb `evaluate`, and which of its flags go together.

Only imported by that verb: all of torch comes with it.
"""

from collections.abc import Mapping
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
ALSO = {"--compress": {"--images"}, "--restore": {"--compare", "--precision", "--device"}}
"""Flags for generators and classifiers that also have an effect with codecs and restorers; `--ensemble` has one with restorers alone."""


def check(restore: str | None, *, compress: bool, ensemble: int, flags: Mapping[str, object]) -> None:
    """Raises SettingError for flags of `evaluate` that have no effect together; `flags` are values, None where a flag was not given."""
    if restore is not None and compress:
        raise SettingError(f"--restore {restore} is for restorers and has no effect with --compress; leave one of them out")
    if ensemble != 1 and restore is None:
        raise SettingError(
            f"--ensemble {ensemble} is for restorers and has no effect without --restore; name a degradation, such as noise:25"
        )
    measured = "--compress" if compress else "--restore" if restore is not None else ""
    for flag, value in flags.items():
        if measured and value is not None and flag not in ALSO[measured]:
            words = flag if value is True else f"{flag} {value}"
            raise SettingError(f"{words} has no effect with {measured}; leave one of them out")


class Options(TypedDict):
    """The arguments that the measurements of restorers and of other models share."""

    compare: str | None
    precision: Precision
    device: str


class Sampling(TypedDict):
    """The arguments of `evaluate` for generators and classifiers."""

    features: str | None
    count: int
    whole: bool
    samples: int
    images: int | None
    seed: int


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
        report = job.evaluate(model, data, **options, **sampling)
        images = score.generated(model, seed=sampling["seed"], device=options["device"]) if accuracy_score else None
    if images is not None:
        watch = ProgressLine(console)  # the training has a line of its own
        report.append(score.accuracy_score(model, data, images=images, seed=sampling["seed"], watch=watch, device=options["device"]))
    return report
