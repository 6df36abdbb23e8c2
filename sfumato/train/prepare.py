"""What comes before the first step: the data and its parts, the settings that were left open, the network and the state it goes on from."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sfumato.core import disk
from sfumato.data.dataset import Dataset, Scenes, SplitBy
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes
from sfumato.data.stream import middles
from sfumato.train import plan
from sfumato.train.care import Care
from sfumato.train.class_tables import Transfer
from sfumato.train.deadline import Costs
from sfumato.train.distributed import World
from sfumato.train.folder import check_same, earlier_settings, go_on, state_file
from sfumato.train.held_out import split_rule
from sfumato.train.log import Watch
from sfumato.train.settings import TrainSettings, repairs, resolve, shareable
from sfumato.train.step import Trainee


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a run has when its first step is due."""

    care: Care
    data: Dataset | Scenes
    training: Dataset | Scenes
    held_out: Dataset | Scenes | None
    costs: Costs
    start: int
    """Images that the run had seen when it was stopped."""
    elapsed: float
    """Seconds that it had taken until then."""
    notes: list[str]
    """What is new of its plan."""


def prepared(
    asked: TrainSettings,
    run: Path | None,
    data: Dataset | Scenes | None,
    watch: Watch,
    world: World,
    where: torch.device,
    began: float,
) -> Job:
    """Data, network and optimisers, and the state and the plan that they had when the run in the folder stopped."""
    data = _gathered(asked, run, data)
    training, held_out = _parts(data, asked)
    settings, costs = _resolved(asked, training, run, world, where, watch, began)
    fresh, schedule = run is None or not state_file(run).exists(), plan.recorded(run, settings)
    care = Care(Trainee(settings, training, world, where, fresh=fresh, schedule=schedule))
    start, elapsed = go_on(care, run, data)
    notes = plan.prolong(care.trainee, asked, costs, run, start, elapsed)
    if run is not None and world.leads:
        disk.sweep(run)
        plan.record(run, care.trainee)
    return Job(
        care=care,
        data=data,
        training=training,
        held_out=held_out,
        costs=costs,
        start=start,
        elapsed=elapsed,
        notes=notes,
    )


def _gathered(asked: TrainSettings, run: Path | None, data: Dataset | Scenes | None) -> Dataset | Scenes:
    """The images to train on, divided as they are in the run that is in the folder: `data`, or what `asked` names."""
    rule = split_rule(asked, state_file(run) if run else None)
    return gather(asked, rule) if data is None else dataclasses.replace(data, split_by=rule)


def gather(asked: TrainSettings, split_by: SplitBy = "original") -> Dataset | Scenes:
    """The images to train on: all of one size, or as they are for a network that repairs."""
    options: Any = {"channels": asked.model.channels, "tolerance": asked.tolerance, "split_by": split_by}
    return load_scenes(asked.data, **options) if repairs(asked) else load(asked.data, size=asked.model.size, crop=asked.crop, **options)


def _parts(data: Dataset | Scenes, asked: TrainSettings) -> tuple[Any, Any]:
    """What is trained on, and what is held out, if anything."""
    if not asked.validation:
        return data, None
    training, held_out = data.split(asked.validation, purpose="validation")
    if repairs(asked) and len(held_out):
        middles(held_out, asked.patch, most=1)  # what cannot be measured is told now and not at the first sample
    return training, held_out


def _resolved(
    asked: TrainSettings, training: Dataset | Scenes, run: Path | None, world: World, where: torch.device, watch: Watch, began: float
) -> tuple[TrainSettings, Costs]:
    """The settings of the run, and what it will take as far as that is known.

    What was left open is taken from the data and the budget, or from the run that is in the folder.
    """
    settings, earlier = resolve(asked, training), earlier_settings(run)
    if earlier is None:
        return plan.fit_to_budget(settings, training, world, where, watch, started=began) if settings.budget else (settings, Costs())
    settings = plan.as_planned(settings, earlier)
    check_same(earlier, settings, run)
    return settings, (plan.recalled(settings, world, where) if settings.budget else None) or Costs()


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
