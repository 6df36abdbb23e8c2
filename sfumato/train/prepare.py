"""Before the first step: the data and its parts, complete settings, the network, and the state from which a stopped run goes on."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, final

import torch

from sfumato.core import atomic_io
from sfumato.data.dataset import Dataset, Scenes, SplitBy
from sfumato.data.duplicates import without_duplicates
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes
from sfumato.train import plan
from sfumato.train.class_tables import Transfer
from sfumato.train.deadline import Costs
from sfumato.train.folder import check_same, earlier_settings, go_on, state_file
from sfumato.train.held_out import split_rule
from sfumato.train.recovery import Recovery
from sfumato.train.request import TrainingRequest
from sfumato.train.samples import held_out_pixels
from sfumato.train.settings import TrainSettings, class_count, resolve, shareable
from sfumato.train.step import Trainee

FEW = 40
"""Images below which a person is told that they are few."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that is ready for its first step."""

    recovery: Recovery
    data: Dataset | Scenes
    training: Dataset | Scenes
    held_out: Dataset | Scenes | None
    costs: Costs
    start: int
    """Images seen when the run was stopped; 0 for a new run."""
    elapsed: float
    """Seconds of training until then."""
    notes: list[str]
    """Sentences on changes of its plan, also for the log."""
    remarks: list[str]
    """Sentences on the length of a run that is in the folder already, not for the log."""


def prepared(request: TrainingRequest) -> Job:
    """Data, network and optimizers, with the state and the plan of the run in the folder if there is one."""
    run, world = request.run, request.world
    data = _load(request)
    training, held_out = _parts(data, request.settings)
    settings, costs = _resolved(request, training)
    fresh, schedule = run is None or not state_file(run).exists(), plan.recorded(run, settings)
    recovery = Recovery(Trainee(settings, training, world, request.device, fresh=fresh, schedule=schedule))
    start, elapsed = go_on(recovery, run, data)
    remarks = plan.longer_than_asked(recovery.trainee, request, start)
    notes = plan.prolong(recovery.trainee, request, costs, start, elapsed)
    remarks += plan.budget_left(recovery.trainee, request, start, elapsed)
    if run is not None and world.leads:
        atomic_io.sweep(run)
        plan.record(run, recovery.trainee)
    return Job(
        recovery=recovery,
        data=data,
        training=training,
        held_out=held_out,
        costs=costs,
        start=start,
        elapsed=elapsed,
        notes=notes,
        remarks=remarks,
    )


def _load(request: TrainingRequest) -> Dataset | Scenes:
    """The images to train on, divided as they are in the run that is in the folder."""
    rule = split_rule(request.settings, state_file(request.run) if request.run else None)
    if request.data is not None:
        data = dataclasses.replace(request.data, split_by=rule)
    else:
        data = request.settings.objective.load(Source(request.settings, rule))
    return without_duplicates(data) if request.settings.without_duplicates else data


class _Options(TypedDict):
    part: Literal["train", "all"]
    tolerance: float
    split_by: SplitBy


@final
class Source:
    """The images that `TrainSettings.data` names, as `objectives.base.ImageSource`."""

    def __init__(self, settings: TrainSettings, split_by: SplitBy = "original") -> None:
        self._settings = settings
        self._split_by: SplitBy = split_by

    @property
    def path(self) -> str:
        """The name of a data set, or the path of a folder, a zip or an IDX file."""
        return self._settings.data

    def images(self, folder: str = "", *, whole: bool = False) -> Dataset:
        """The images of one size of the network, or of the data, in `folder` of the source; the training part unless `whole`."""
        size, crop = getattr(self._settings.model, "size", None), self._settings.crop
        return load(self._inside(folder), size=size, crop=crop, channels=self._channels, **self._options(whole))

    def pictures(self, folder: str = "", *, whole: bool = False) -> Dataset | Scenes:
        """Pictures in their own sizes in `folder` of the source; the training part unless `whole`."""
        return load_scenes(self._inside(folder), channels=self._channels or 3, **self._options(whole))

    def _inside(self, folder: str) -> str | Path:
        # As a text the name of a data set wins over a folder; below it there are only folders.
        return Path(self.path) / folder if folder else self.path

    @property
    def _channels(self) -> int | None:
        return getattr(self._settings.model, "channels", None)

    def _options(self, whole: bool) -> _Options:
        return _Options(part="all" if whole else "train", tolerance=self._settings.tolerance, split_by=self._split_by)


def _parts(data: Dataset | Scenes, requested: TrainSettings) -> tuple[Dataset | Scenes, Dataset | Scenes | None]:
    """The images to train on, and those held out; None for the latter if `validation` is 0."""
    if not requested.validation:
        return data, None
    training, held_out = data.split(requested.validation, purpose="validation")
    if len(held_out):
        held_out_pixels(held_out, requested, most=1)  # an image that is too small is refused now and not at the first sample
    return training, held_out


def _resolved(request: TrainingRequest, training: Dataset | Scenes) -> tuple[TrainSettings, Costs]:
    """The settings of the run, and the time that its parts take as far as it was measured.

    Open settings are taken from the data and the budget, or from the run that is in the folder.
    """
    settings, earlier = resolve(request.settings, training), earlier_settings(request.run)
    if earlier is None:
        return plan.fit_to_budget(settings, training, request) if settings.budget else (settings, Costs())
    settings = plan.as_planned(settings, earlier)
    check_same(earlier, settings, request.run)
    recalled = plan.recalled(settings, request.world, request.device, finish=request.finish) if settings.budget else None
    return settings, recalled or Costs()


def about(settings: TrainSettings, data: Dataset | Scenes, training: Dataset | Scenes) -> list[str]:
    """Sentences on the images: skipped files, classes, and images that are not trained on."""
    lines = [f"skipped {line}" for line in data.skipped] + [data.passed_over] * bool(data.passed_over)
    if isinstance(training, Dataset) and hasattr(settings.model, "classes"):
        unused = bool(training.classes) and class_count(settings) == 0
        clauses = [
            training.labelling or (f"{len(training.classes)} classes" if unused else ""),
            "not used: model.classes = 0" if unused else "",
        ]
        lines += ["; ".join(filter(None, clauses))] * any(clauses)
    held = len(data) - len(training)
    if data.kept_back or held:
        everything = len(data) + data.kept_back
        parts = [f"{held:,} held out", f"{data.kept_back:,} kept for evaluate"]
        others = " and ".join(part for part, count in zip(parts, (held, data.kept_back), strict=True) if count)
        lines.append(f"training on {len(training):,} of {everything:,} images; {others}")
    if isinstance(training, Dataset) and len(training) < FEW:
        lines.append(
            f"{len(training)} images are very few, and a network learns so few by heart; some hundreds are the least that is usual"
        )
    if settings.validation and not held:
        words = "nothing is measured on images that training does not see"
        lines.append(f"validation = {settings.validation:g} holds out none of {len(data):,} images: {words}")
    if class_count(settings) and isinstance(training, Dataset) and training.labels is not None:
        counts = torch.bincount(training.labels.cpu(), minlength=len(data.classes)).tolist()
        if empty := [name for name, count in zip(data.classes, counts, strict=True) if not count]:
            lines.append(
                f"no image of {', '.join(empty[:5])}{' and others' if len(empty) > 5 else ''} is trained on: add images of each class"
            )
    return lines


def begun_afresh(trainee: Trainee) -> list[str]:
    """Sentences on the weights that `start` does not have and that begin afresh."""
    start, origin = shareable(trainee.settings).start, trainee.origin
    missing = origin.get("missing", [])
    afresh = "it begins" if len(missing) == 1 else "they begin"
    lines = [f"{start} has no {', '.join(missing)} for this network: {afresh} afresh"] if missing else []
    if (transfer := origin.get("classes")) and (sentence := str(Transfer(**transfer))):
        lines.append(f"{start}: {sentence}")
    return lines
