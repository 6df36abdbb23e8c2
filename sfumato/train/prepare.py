"""What comes before the first step: the data and its parts, the settings that were left open, the network and the state it goes on from."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from sfumato.core import atomic_io
from sfumato.data.dataset import Dataset, Scenes, SplitBy
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes
from sfumato.data.stream import center_crops
from sfumato.train import plan
from sfumato.train.class_tables import Transfer
from sfumato.train.deadline import Costs
from sfumato.train.folder import check_same, earlier_settings, go_on, state_file
from sfumato.train.held_out import split_rule
from sfumato.train.recovery import Recovery
from sfumato.train.request import TrainingRequest
from sfumato.train.settings import TrainSettings, repairs, resolve, shareable
from sfumato.train.step import Trainee


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a run has when its first step is due."""

    recovery: Recovery
    data: Dataset | Scenes
    training: Dataset | Scenes
    held_out: Dataset | Scenes | None
    costs: Costs
    start: int
    """Images that the run had seen when it was stopped."""
    elapsed: float
    """Seconds that it had taken until then."""
    notes: list[str]
    """What is new of its plan, for the log too."""
    remarks: list[str]
    """What a repeated call is told of a run that is complete; not for the log."""


def prepared(request: TrainingRequest) -> Job:
    """Data, network and optimisers, and the state and the plan that they had when the run in the folder stopped."""
    run, world = request.run, request.world
    data = _gathered(request)
    training, held_out = _parts(data, request.settings)
    settings, costs = _resolved(request, training)
    fresh, schedule = run is None or not state_file(run).exists(), plan.recorded(run, settings)
    care = Recovery(Trainee(settings, training, world, request.device, fresh=fresh, schedule=schedule))
    start, elapsed = go_on(care, run, data)
    remarks = plan.longer_than_asked(care.trainee, request, start)
    notes = plan.prolong(care.trainee, request, costs, start, elapsed)
    if run is not None and world.leads:
        atomic_io.sweep(run)
        plan.record(run, care.trainee)
    return Job(
        recovery=care,
        data=data,
        training=training,
        held_out=held_out,
        costs=costs,
        start=start,
        elapsed=elapsed,
        notes=notes,
        remarks=remarks,
    )


def _gathered(request: TrainingRequest) -> Dataset | Scenes:
    """The images to train on, divided as they are in the run that is in the folder."""
    rule = split_rule(request.settings, state_file(request.run) if request.run else None)
    return gather(request.settings, rule) if request.data is None else dataclasses.replace(request.data, split_by=rule)


def gather(requested: TrainSettings, split_by: SplitBy = "original") -> Dataset | Scenes:
    """The images to train on: all of one size, or as they are for a network that repairs."""
    options: Any = {"channels": requested.model.channels, "tolerance": requested.tolerance, "split_by": split_by}
    return (
        load_scenes(requested.data, **options)
        if repairs(requested)
        else load(requested.data, size=requested.model.size, crop=requested.crop, **options)
    )


def _parts(data: Dataset | Scenes, requested: TrainSettings) -> tuple[Any, Any]:
    """What is trained on, and what is held out, if anything."""
    if not requested.validation:
        return data, None
    training, held_out = data.split(requested.validation, purpose="validation")
    if repairs(requested) and len(held_out):
        center_crops(held_out, requested.patch, most=1)  # what cannot be measured is told now and not at the first sample
    return training, held_out


def _resolved(request: TrainingRequest, training: Dataset | Scenes) -> tuple[TrainSettings, Costs]:
    """The settings of the run, and what it will take as far as that is known.

    What was left open is taken from the data and the budget, or from the run that is in the folder.
    """
    settings, earlier = resolve(request.settings, training), earlier_settings(request.run)
    if earlier is None:
        return plan.fit_to_budget(settings, training, request) if settings.budget else (settings, Costs())
    settings = plan.as_planned(settings, earlier)
    check_same(earlier, settings, request.run)
    return settings, (plan.recalled(settings, request.world, request.device) if settings.budget else None) or Costs()


def about(settings: TrainSettings, data: Dataset | Scenes, training: Dataset | Scenes) -> list[str]:
    """What a person should know of the images: their classes, which files were skipped, and which images are not trained on."""
    lines = [f"skipped {line}" for line in data.skipped] + [data.passed_over] * bool(data.passed_over)
    if isinstance(training, Dataset) and hasattr(settings.model, "classes"):
        unused = bool(training.classes) and settings.model.classes == 0
        said = [
            training.labelling or (f"{len(training.classes)} classes" if unused else ""),
            "not used: model.classes = 0" if unused else "",
        ]
        lines += ["; ".join(filter(None, said))] * any(said)
    held = len(data) - len(training)
    if data.kept_back or held:
        everything = len(data) + data.kept_back
        parts = [f"{held:,} held out", f"{data.kept_back:,} kept for evaluate"]
        told = " and ".join(part for part, count in zip(parts, (held, data.kept_back), strict=True) if count)
        lines.append(f"training on {len(training):,} of {everything:,} images; {told}")
    if settings.validation and not held:
        lines.append(f"validation = {settings.validation:g} holds out none of {len(data):,} images: there are no figures of held-out ones")
    if getattr(settings.model, "classes", 0) and isinstance(training, Dataset) and training.labels is not None:
        counts = torch.bincount(training.labels.cpu(), minlength=len(data.classes)).tolist()
        if bare := [name for name, count in zip(data.classes, counts, strict=True) if not count]:
            lines.append(
                f"no image of {', '.join(bare[:5])}{' and others' if len(bare) > 5 else ''} is trained on: add images of each class"
            )
    return lines


def begun_afresh(trainee: Trainee) -> list[str]:
    """What the weights that training began with did not include."""
    start, origin = shareable(trainee.settings).start, trainee.origin
    lines = [f"{start} has no {part}: it begins afresh" for part in origin.get("missing", [])]
    if (transfer := origin.get("classes")) and (sentence := str(Transfer(**transfer))):
        lines.append(f"{start}: {sentence}")
    return lines
