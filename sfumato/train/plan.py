"""A wall-clock budget becomes a number of images: take the speed of the last run, or measure it, and fit the schedule to what is left."""

import dataclasses
import json
import time
from pathlib import Path

import torch

from sfumato.core import atomic_io, schema
from sfumato.core.errors import CheckpointError, SfumatoError
from sfumato.data.dataset import Dataset, Scenes
from sfumato.train import speeds
from sfumato.train.deadline import LEAVING, SHARE, Costs, Deadline
from sfumato.train.distributed import World
from sfumato.train.folder import write_settings
from sfumato.train.request import TrainingRequest
from sfumato.train.samples import health, sheet, sheet_cost
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import TrainSettings, seconds, shareable
from sfumato.train.step import Trainee

MEASURED, STEPS = 0.1, 0.04
"""Shares of the budget that measuring takes at the most, and that it spends on steps if there is time."""
LATE_START = 0.5
"""Share of the budget after which no time is spent on measuring first."""
LEAST = 4
"""Steps that are planned at least: a run that is over sooner ends where it is, and one that was faster must be able to go on."""


def fit_to_budget(settings: TrainSettings, data: Dataset | Scenes, request: TrainingRequest) -> tuple[TrainSettings, Costs]:
    """`settings` with `images` such that the run, begun at `request.began`, ends at `settings.budget`, and what it will take.

    With `settings.grow`, its network is as large as is worth while, unless it begins with weights that it is given. If the start alone
    took longer than the budget, the run is planned to end after one step.
    """
    spent, budget = request.spent(), seconds(settings.budget)
    if spent >= budget:
        request.watch.note(f"budget = {settings.budget} is less than the {spent:.1f} s that the start took: the run ends after one step")
        return dataclasses.replace(settings, images=settings.batch), Costs()
    until = time.perf_counter() + MEASURED * (budget - spent)
    planned, costs = _planned(settings, data, request, until)
    grows = settings.grow and not settings.start  # the weights that it begins with are of one size
    while grows and planned.images > settings.grow and (larger := settings.model.larger()) is not None:
        if request.world.agree(time.perf_counter() - until) > 0:
            break
        settings = dataclasses.replace(settings, model=larger)
        request.watch.note("enough for a larger network")
        planned, costs = _planned(settings, data, request, until)
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
        return Schedule.parse(schema.read_object(path))
    except (ValueError, SfumatoError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); choose another folder with --out") from error


def record(run: Path, trainee: Trainee) -> None:
    """Writes down what the run is: its plan, where that has changed, then its settings."""
    if trainee.schedule.changes:
        atomic_io.write(run / "state" / "plan.json", json.dumps(trainee.schedule.dump(), indent=1) + "\n")
    write_settings(run / "settings.json", shareable(trainee.settings))


def longer_than_asked(trainee: Trainee, request: TrainingRequest, images_seen: int) -> list[str]:
    """A sentence on the run in the folder if it is complete after `images_seen` images and longer than `request` asks for; else nothing."""
    images = trainee.schedule.images
    if request.run is None or images_seen < images or _excess(trainee, request) >= 0:
        return []
    budget, asked = trainee.settings.budget, request.settings
    length, shorter = (f"a budget of {budget}", asked.budget) if budget else (f"{images:,} images", f"{asked.images:,}")
    return [f"the run in {request.run} is complete, and with {length} longer than the {shorter} asked for"]


def prolong(trainee: Trainee, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> list[str]:
    """Lets the run in the folder go on for as long as `request` asks for, if that is longer; returns what is to be told of it.

    `images_seen` and `elapsed` are the images and seconds of training that are over. Raises CheckpointError if a run that is not complete
    would become shorter, or if nothing is left of the longer budget.
    """
    trainee.settings = dataclasses.replace(trainee.settings, images=trainee.schedule.images)
    change = None if request.run is None else _longer(trainee, request, costs, images_seen, elapsed)
    if change is None:
        return []
    trainee.follow(change)
    trainee.settings = dataclasses.replace(trainee.settings, budget=request.settings.budget)
    return [str(change)]


def replanned(deadline: Deadline, trainee: Trainee, run: Path | None, images_seen: int, *, repeats: bool) -> list[str]:
    """Changes the plan if the clock asks for it; returns what there is to tell, also of changes that a run which goes on `repeats`."""
    change = deadline.look(images_seen, trainee.schedule, trainee.world)
    if change is not None:
        trainee.follow(change)
        if run is not None and trainee.world.leads:
            record(run, trainee)
    return [str(each) for each in trainee.schedule.changes if each.seen == images_seen and (repeats or each is change)]


def _excess(trainee: Trainee, request: TrainingRequest) -> float:
    """The length that `request` asks for minus that of the run, in seconds of its budget, or in images if it has none."""
    settings, asked = trainee.settings, request.settings
    return seconds(asked.budget) - seconds(settings.budget) if settings.budget else asked.images - trainee.schedule.images


def _longer(trainee: Trainee, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> Change | None:
    """The change of plan that `request` is for the run, after `images_seen` images and `elapsed` seconds; None if it is none."""
    settings, asked, before = trainee.settings, request.settings, trainee.schedule.images
    excess = _excess(trainee, request)
    if excess < 0 and images_seen < before:
        if settings.budget:
            told = f"budget = {asked.budget}, and the run in {request.run} was given {settings.budget}"
        else:
            told = f"images = {asked.images:,}, and the run in {request.run} is one of {before:,}"
        raise CheckpointError(
            f"{told} ({images_seen:,} images seen): a run can be prolonged, not shortened; choose another folder with --out"
        )
    if excess <= 0:
        return None
    images = _reached(settings, request, costs, images_seen, elapsed) if settings.budget else asked.images
    return Change(seen=images_seen, images=images, before=before, seconds=round(elapsed, 2), reason="prolonged")


def _reached(settings: TrainSettings, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> int:
    """The images that a run of `settings` reaches within the longer budget of `request`. Raises CheckpointError if there is no time."""
    spent, budget = elapsed + request.spent(), seconds(request.settings.budget)
    each = costs.each(settings) if costs.image else elapsed / images_seen if images_seen else seconds(settings.budget) / settings.images
    left = (1 - LEAVING) * budget - spent - costs.end
    if left < each * settings.batch:
        took = f"{spent:.0f} s" if spent < 120 else f"{spent / 60:.1f} min"
        raise CheckpointError(
            f"budget = {request.settings.budget}, and the run in {request.run} has taken {took} already; give it more: "
            f"the start of this call counts, and the end takes {costs.end:.0f} s"
        )
    return images_seen + max(1, int(SHARE * left / max(each, 1e-9) / settings.batch)) * settings.batch


def _planned(settings: TrainSettings, data: Dataset | Scenes, request: TrainingRequest, until: float) -> tuple[TrainSettings, Costs]:
    """`fit_to_budget`, of a network as large as it is."""
    world, device, watch = request.world, request.device, request.watch
    costs = recalled(settings, world, device)
    how = "as fast as the last time, "
    if costs is None and (spent := request.spent()) > LATE_START * seconds(settings.budget):
        watch.note(f"the start took {spent:.0f} s of {settings.budget}: the speed is measured while training")
        return dataclasses.replace(settings, images=LEAST * settings.batch), Costs()
    if costs is None:
        watch.note(f"measuring the speed, to end after {settings.budget}")
        costs, how = _measured(settings, data, world, device, until), ""
        if world.leads:
            speeds.remember(speeds.key(settings, device, world.size), costs)
    each = costs.each(settings)
    # The end is done twice where nobody knows yet how long it takes.
    end = costs.end if costs.finish else 2 * costs.end
    left = SHARE * ((1 - LEAVING) * seconds(settings.budget) - request.spent() - end)
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

    # A sheet of samples now and then is part of the price.
    sample = image * sheet_cost(trial.model)
    if world.agree(time.perf_counter() + sample - until) < 0:
        began = time.perf_counter()
        sheet(trial.best(), trial.stream, settings)
        health(trial)
        sample = world.agree(time.perf_counter() - began)
    return Costs(image=image, sample=sample)


def _round(trial: Trainee, images_seen: int) -> float:
    """Steps until every phase has been due once; returns the seconds that they took."""
    began = time.perf_counter()
    for i in range(trial.cycle):
        trial.step(images_seen + i * trial.settings.batch)
    return time.perf_counter() - began
