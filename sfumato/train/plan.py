"""A wall-clock budget becomes a number of images: take the speed of the last run, or measure it, and fit the schedule to what is left."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch

from sfumato.core import disk, schema
from sfumato.core.errors import CheckpointError, SfumatoError
from sfumato.data.dataset import Dataset, Scenes
from sfumato.models.base import Adversarial, Samples
from sfumato.train import speeds
from sfumato.train.deadline import SHARE, Costs, Deadline
from sfumato.train.distributed import World
from sfumato.train.folder import write_settings
from sfumato.train.log import Watch
from sfumato.train.pulse import COUNT as PULSE
from sfumato.train.samples import COUNT, health, sheet
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import TrainSettings, seconds, shareable
from sfumato.train.step import Trainee

MEASURED, STEPS = 0.1, 0.04
"""Shares of the budget that measuring takes at the most, and that it spends on steps if there is time."""
LEAST = 4
"""Steps that are planned at least: a run that is over sooner ends where it is, and one that was faster must be able to go on."""


def fit_to_budget(
    settings: TrainSettings, data: Dataset | Scenes, world: World, device: torch.device, watch: Watch, *, started: float
) -> tuple[TrainSettings, Costs]:
    """`settings` with `images` such that the run, begun when the clock said `started`, ends at `settings.budget`, and what it will take.

    With `settings.grow`, its network is as large as is worth while, unless it begins with weights that it is given.
    """
    until = time.perf_counter() + MEASURED * seconds(settings.budget)
    planned, costs = _planned(settings, data, world, device, watch, started, until)
    grows = settings.grow and not settings.start  # the weights that it begins with are of one size
    while grows and planned.images > settings.grow and (larger := settings.model.larger()) is not None:
        if world.agree(time.perf_counter() - until) > 0:
            break
        settings = dataclasses.replace(settings, model=larger)
        watch.note("enough for a larger network")
        planned, costs = _planned(settings, data, world, device, watch, started, until)
    return planned, costs


def as_planned(settings: TrainSettings, earlier: TrainSettings) -> TrainSettings:
    """`settings` with what was planned for them when the run in the folder began: how long it is, and how large its network."""
    model = settings.model
    while settings.budget and settings.grow and model is not None and model != earlier.model:
        model = model.larger()
    alike = bool(settings.budget) == bool(earlier.budget)
    return dataclasses.replace(
        settings,
        images=earlier.images,
        budget=earlier.budget if alike else settings.budget,
        model=settings.model if model is None else model,
    )


def recalled(settings: TrainSettings, world: World, device: torch.device) -> Costs | None:
    """What a run of `settings` took the last time, where the process that leads can remember it."""
    costs = speeds.recall(speeds.key(settings, device, world.size)) if world.leads else None
    agreed = Costs(**{name: world.agree(value) for name, value in dataclasses.asdict(costs or Costs()).items()})
    return agreed if agreed.image else None


def recorded(run: Path | None, settings: TrainSettings) -> Schedule:
    """The plan of the run in the folder, with all changes of it; that of `settings` if there were none."""
    path = None if run is None else run / "state" / "plan.json"
    if path is None or not path.exists():
        return Schedule(settings.images)
    try:
        return Schedule.parse(schema.read(path, dict[str, Any]))
    except (ValueError, SfumatoError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); choose another folder with --out") from error


def record(run: Path, trainee: Trainee) -> None:
    """Writes down what the run is: its plan, where that has changed, then its settings."""
    if trainee.schedule.changes:
        disk.write(run / "state" / "plan.json", json.dumps(trainee.schedule.dump(), indent=1) + "\n")
    write_settings(run / "settings.json", shareable(trainee.settings))


def prolong(trainee: Trainee, asked: TrainSettings, costs: Costs, run: Path | None, seen: int, elapsed: float) -> list[str]:
    """Lets the run in the folder go on for as long as is `asked` now, if that is longer; returns what is to be told of it."""
    trainee.settings = dataclasses.replace(trainee.settings, images=trainee.schedule.images)
    change = None if run is None else _longer(asked, trainee.settings, trainee.schedule, costs, run=run, seen=seen, elapsed=elapsed)
    if change is None:
        return []
    trainee.follow(change)
    trainee.settings = dataclasses.replace(trainee.settings, budget=asked.budget)
    return [str(change)]


def replanned(deadline: Deadline, trainee: Trainee, run: Path | None, seen: int, *, repeats: bool) -> list[str]:
    """Changes the plan if the clock asks for it; returns what there is to tell, also of changes that a run which goes on `repeats`."""
    change = deadline.look(seen, trainee.schedule, trainee.world)
    if change is not None:
        trainee.follow(change)
        if run is not None and trainee.world.leads:
            record(run, trainee)
    return [str(each) for each in trainee.schedule.changes if each.seen == seen and (repeats or each is change)]


def _longer(
    asked: TrainSettings, settings: TrainSettings, schedule: Schedule, costs: Costs, *, run: Path, seen: int, elapsed: float
) -> Change | None:
    """The change of plan that `asked` is for the run of `settings`, after `seen` images and `elapsed` seconds; None if it is none.

    Raises CheckpointError if it would make the run shorter, or if a longer budget is used up already.
    """
    if settings.budget:
        old, new = seconds(settings.budget), seconds(asked.budget)
        longer, told = new - old, f"budget = {asked.budget}, and the run in {run} was given {settings.budget}"
    else:
        longer, told = asked.images - settings.images, f"images = {asked.images:,}, and the run in {run} is one of {settings.images:,}"
    if longer < 0:
        raise CheckpointError(f"{told} ({seen:,} images seen): a run can be prolonged, not shortened; choose another folder with --out")
    if not longer:
        return None
    images = asked.images
    if settings.budget:
        left = SHARE * (seconds(asked.budget) - elapsed - costs.end)
        if left <= 0:
            raise CheckpointError(f"budget = {asked.budget}, and the run in {run} has taken {elapsed / 60:.1f} min already; give it more")
        each = costs.each(settings) if costs.image else elapsed / seen if seen else seconds(settings.budget) / settings.images
        images = seen + max(1, int(left / max(each, 1e-9) / settings.batch)) * settings.batch
    return Change(seen=seen, images=images, before=schedule.images, seconds=round(elapsed, 2), reason="prolonged")


def _planned(
    settings: TrainSettings,
    data: Dataset | Scenes,
    world: World,
    device: torch.device,
    watch: Watch,
    started: float,
    until: float,
) -> tuple[TrainSettings, Costs]:
    """`fit_to_budget`, of a network as large as it is."""
    costs = recalled(settings, world, device)
    how = "as fast as the last time, "
    if costs is None:
        watch.note(f"measuring the speed, to end after {settings.budget}")
        costs, how = _measured(settings, data, world, device, until), ""
        if world.leads:
            speeds.remember(speeds.key(settings, device, world.size), costs)
    each = costs.each(settings)
    left = SHARE * (seconds(settings.budget) - world.agree(time.perf_counter() - started) - costs.end)
    images = max(LEAST, int(left / each / settings.batch)) * settings.batch
    watch.note(f"{how}{1 / each:,.0f} images/s: {images:,} images until {settings.budget} are over")
    return dataclasses.replace(settings, images=images), costs


def _measured(settings: TrainSettings, data: Dataset | Scenes, world: World, device: torch.device, until: float) -> Costs:
    """What training takes on a throw-away copy, where that can be found out before the clock says `until`."""
    trial = Trainee(settings, data, world, device)

    # The first round pays for memory and kernels that later ones find ready; it counts only if there is no time for a second.
    took, images = _round(trial, 0), trial.cycle * settings.batch
    seen, spent, patience = 0, 0.0, min(20.0, STEPS * seconds(settings.budget))
    while spent < patience and world.agree(time.perf_counter() + took - until) < 0:
        took = _round(trial, seen + images)
        seen, spent = seen + images, world.agree(spent + took)
    image = world.agree(spent / seen if seen else took / images)

    # A sheet of samples now and then is part of the price. To draw an image takes a sixth of what it takes to train on one, or less.
    sample = image * (COUNT * isinstance(trial.model, Samples) + PULSE * isinstance(trial.model, Adversarial)) / 6
    if world.agree(time.perf_counter() + sample - until) < 0:
        began = time.perf_counter()
        sheet(trial.best(), trial.stream, settings)
        health(trial)
        sample = world.agree(time.perf_counter() - began)
    return Costs(image=image, sample=sample)


def _round(trial: Trainee, seen: int) -> float:
    """Steps until every phase has been due once; returns the seconds that they took."""
    began = time.perf_counter()
    for i in range(trial.cycle):
        trial.step(seen + i * trial.settings.batch)
    return time.perf_counter() - began
