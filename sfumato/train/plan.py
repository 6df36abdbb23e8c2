"""The length of a run from a wall-clock budget: the speed of the last run, or a measured one, and a schedule for the time left."""

import dataclasses
import json
import time
from pathlib import Path

import torch

from sfumato.core import atomic_io, schema
from sfumato.core.errors import BudgetSpentError, CheckpointError, SfumatoError
from sfumato.data.dataset import Dataset, Scenes
from sfumato.models.base import Growing, NetworkSettings
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
"""Largest share of the budget for measuring, and share for its steps if there is time."""
LATE_START = 0.5
"""Share of the budget after which the speed is not measured first."""
LEAST = 4
"""Smallest number of planned steps: a shorter run ends before its plan, and a faster one must be able to go on."""


def fit_to_budget(settings: TrainSettings, data: Dataset | Scenes, request: TrainingRequest) -> tuple[TrainSettings, Costs]:
    """`settings` with the `images` with which the run, begun at `request.began`, ends at `settings.budget`, and the times of its parts.

    With `settings.grow` the network is taken larger while the budget allows, unless training starts from given weights. If the start
    alone took longer than the budget, the run is planned to end after one step.
    """
    spent, budget = request.spent(), seconds(settings.budget)
    if spent >= budget:
        request.watch.note(f"budget = {settings.budget} is less than the {spent:.1f} s that the start took: the run ends after one step")
        return dataclasses.replace(settings, images=settings.batch), Costs()
    until = time.perf_counter() + MEASURED * (budget - spent)
    planned, costs = _planned(settings, data, request, until)
    grows = settings.grow and not settings.start  # given weights have one size
    while grows and planned.images > settings.grow and (larger := _larger(settings.model)) is not None:
        if request.world.agree(time.perf_counter() - until) > 0:
            break
        settings = dataclasses.replace(settings, model=larger)
        request.watch.note("enough for a larger network")
        planned, costs = _planned(settings, data, request, until)
    return planned, costs


def as_planned(settings: TrainSettings, earlier: TrainSettings) -> TrainSettings:
    """`settings` with the length and the size of the network that were planned when the run in the folder began."""
    model: NetworkSettings | None = settings.model
    while settings.budget and settings.grow and model is not None and model != earlier.model:
        model = _larger(model)
    alike = bool(settings.budget) == bool(earlier.budget)
    return dataclasses.replace(
        settings,
        images=earlier.images,
        budget=earlier.budget if alike else settings.budget,
        model=settings.model if model is None else model,
    )


def _larger(model: NetworkSettings) -> NetworkSettings | None:
    """The settings of the next larger network; None for the largest, and for a family that has one size."""
    return model.larger() if isinstance(model, Growing) else None


def recalled(settings: TrainSettings, world: World, device: torch.device, *, finish: bool = True) -> Costs | None:
    """The times of the last run of such `settings`, from the file of the leading process; None if there was none.

    Without `finish` the work of the objective at the end takes none.
    """
    costs = speeds.recall(speeds.key(settings, device, world.size)) if world.leads else None
    agreed = Costs(**{name: world.agree(value) for name, value in dataclasses.asdict(costs or Costs()).items()})
    agreed = agreed if finish else dataclasses.replace(agreed, finish=0.0)
    return agreed if agreed.image else None


def recorded(run: Path | None, settings: TrainSettings) -> Schedule:
    """The plan of the run in the folder with its changes; the plan of `settings` if there is none."""
    path = None if run is None else run / "state" / "plan.json"
    if path is None or not path.exists():
        return Schedule(settings.images)
    try:
        return Schedule.parse(schema.read_object(path))
    except (ValueError, SfumatoError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); choose another folder with --out") from error


def record(run: Path, trainee: Trainee) -> None:
    """Writes the plan of the run, if it has changed, and then its settings."""
    if trainee.schedule.changes:
        atomic_io.write(run / "state" / "plan.json", json.dumps(trainee.schedule.dump(), indent=1) + "\n")
    write_settings(run / "settings.json", shareable(trainee.settings))


def longer_than_asked(trainee: Trainee, request: TrainingRequest, images_seen: int) -> list[str]:
    """A sentence if the run in the folder is complete after `images_seen` images and longer than `request` wants; else none."""
    images = trainee.schedule.images
    if request.run is None or images_seen < images or _excess(trainee, request) >= 0:
        return []
    budget, requested = trainee.settings.budget, request.settings
    length, shorter = (f"a budget of {budget}", requested.budget) if budget else (f"{images:,} images", f"{requested.images:,}")
    return [f"the run in {request.run} is complete, and with {length} longer than the {shorter} asked for"]


def prolong(trainee: Trainee, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> list[str]:
    """Prolongs the run in the folder to the length of `request`, if that is longer. Returns a sentence on it, or none.

    `images_seen` and `elapsed` are the images and seconds of training until now. Raises CheckpointError if an incomplete run would become
    shorter, BudgetSpentError if no time is left of the longer budget.
    """
    trainee.settings = dataclasses.replace(trainee.settings, images=trainee.schedule.images)
    change = None if request.run is None else _longer(trainee, request, costs, images_seen, elapsed)
    if change is None:
        return []
    trainee.follow(change)
    trainee.settings = dataclasses.replace(trainee.settings, budget=request.settings.budget)
    return [str(change)]


def budget_left(trainee: Trainee, request: TrainingRequest, images_seen: int, elapsed: float) -> list[str]:
    """A sentence on the budget of an incomplete run that continues after `images_seen` images and `elapsed` seconds; none for another."""
    settings = trainee.settings
    if not settings.budget or not images_seen or images_seen >= trainee.schedule.images:
        return []
    left = seconds(settings.budget) - elapsed - request.spent()
    ends = f"this command ends in about {_duration(left)}" if left > 0 else "the run ends now; a longer --budget prolongs it"
    return [f"the budget of {settings.budget} is for the whole run, which has taken {_duration(elapsed)} so far: {ends}"]


def replanned(deadline: Deadline, trainee: Trainee, run: Path | None, images_seen: int, *, repeats: bool) -> list[str]:
    """Changes the plan if the clock requires it. Returns sentences on the change, also on a recorded one that a resumed run `repeats`."""
    change = deadline.look(images_seen, trainee.schedule, trainee.world)
    if change is not None:
        trainee.follow(change)
        if run is not None and trainee.world.leads:
            record(run, trainee)
    return [str(each) for each in trainee.schedule.changes if each.images_seen == images_seen and (repeats or each is change)]


def _excess(trainee: Trainee, request: TrainingRequest) -> float:
    """The length in `request` minus that of the run, in seconds of its budget, or in images if it has none."""
    settings, requested = trainee.settings, request.settings
    return seconds(requested.budget) - seconds(settings.budget) if settings.budget else requested.images - trainee.schedule.images


def _longer(trainee: Trainee, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> Change | None:
    """The change of plan from the run to `request`, after `images_seen` images and `elapsed` seconds; None without one."""
    settings, requested, before = trainee.settings, request.settings, trainee.schedule.images
    excess = _excess(trainee, request)
    if excess < 0 and images_seen < before:
        if settings.budget:
            lengths = f"budget = {requested.budget}, and the run in {request.run} was given {settings.budget}"
        else:
            lengths = f"images = {requested.images:,}, and the run in {request.run} is one of {before:,}"
        raise CheckpointError(
            f"{lengths} ({images_seen:,} images seen): a run can be made longer, but not shorter; choose another folder with --out"
        )
    if excess <= 0:
        return None
    images = _reached(settings, request, costs, images_seen, elapsed) if settings.budget else requested.images
    return Change(images_seen=images_seen, images=images, before=before, seconds=round(elapsed, 2), reason="prolonged")


def _reached(settings: TrainSettings, request: TrainingRequest, costs: Costs, images_seen: int, elapsed: float) -> int:
    """Images that a run of `settings` reaches within the longer budget of `request`. Raises BudgetSpentError if no time is left."""
    spent, budget = elapsed + request.spent(), seconds(request.settings.budget)
    each = costs.each(settings) if costs.image else elapsed / images_seen if images_seen else seconds(settings.budget) / settings.images
    left = (1 - LEAVING) * budget - spent - costs.end
    if left < each * settings.batch:
        raise BudgetSpentError(
            f"budget = {request.settings.budget}, and the run in {request.run} has taken {_duration(spent)} already; give it more: "
            f"the start of this call counts, and the end takes {costs.end:.0f} s"
        )
    return images_seen + max(1, int(SHARE * left / max(each, 1e-9) / settings.batch)) * settings.batch


def _duration(time_in_seconds: float) -> str:
    """A length of time, in words."""
    return f"{time_in_seconds:.0f} s" if time_in_seconds < 120 else f"{time_in_seconds / 60:.1f} min"


def _planned(settings: TrainSettings, data: Dataset | Scenes, request: TrainingRequest, until: float) -> tuple[TrainSettings, Costs]:
    """`fit_to_budget` without a change of the network."""
    world, device, watch = request.world, request.device, request.watch
    costs = recalled(settings, world, device, finish=request.finish)
    source = "as fast as the last time, "
    if costs is None and (spent := request.spent()) > LATE_START * seconds(settings.budget):
        watch.note(f"the start took {spent:.0f} s of {settings.budget}: the speed is measured while training")
        return dataclasses.replace(settings, images=LEAST * settings.batch), Costs()
    if costs is None:
        watch.note(f"measuring the speed, to end after {settings.budget}")
        costs, source = _measured(settings, data, world, device, until), ""
        if world.leads:
            speeds.remember(speeds.key(settings, device, world.size), costs)
    each = costs.each(settings)
    # The end is done twice, the first time as a rehearsal, where its time was not measured.
    end = costs.end if costs.finish else 2 * costs.end
    left = SHARE * ((1 - LEAVING) * seconds(settings.budget) - request.spent() - end)
    images = max(LEAST, int(left / each / settings.batch)) * settings.batch
    watch.note(f"{source}{1 / each:,.0f} images/s: {images:,} images until {settings.budget} are over")
    return dataclasses.replace(settings, images=images), costs


def _measured(settings: TrainSettings, data: Dataset | Scenes, world: World, device: torch.device, until: float) -> Costs:
    """The times of training and of a sheet, measured on a trial network until the clock is at `until`."""
    trial = Trainee(settings, data, world, device)

    # The first round is slower: it allocates memory and loads kernels. It counts only if there is no time for a second.
    took, images = _round(trial, 0), trial.cycle * settings.batch
    measured, spent, patience = 0, 0.0, min(20.0, STEPS * seconds(settings.budget))
    while spent < patience and world.agree(time.perf_counter() + took - until) < 0:
        took = _round(trial, measured + images)
        measured, spent = measured + images, world.agree(spent + took)
    image = world.agree(spent / measured if measured else took / images)

    # Sheets of samples take a part of the time.
    sample = image * sheet_cost(trial.model, settings)
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
