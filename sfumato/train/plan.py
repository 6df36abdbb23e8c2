"""A wall-clock budget becomes a number of images: measure the speed on a throw-away copy, then fit the schedule to what is left."""

import dataclasses
import math
import time

import torch

from sfumato.data.dataset import Dataset, Scenes
from sfumato.train.distributed import World
from sfumato.train.log import Watch
from sfumato.train.samples import health, sheet
from sfumato.train.settings import TrainSettings, seconds
from sfumato.train.step import Trainee

MARGIN = 0.97
"""Share of the time left that is planned for; the rest is for what slows a machine down meanwhile."""


def fit_to_budget(
    settings: TrainSettings, data: Dataset | Scenes, world: World, device: torch.device, watch: Watch, *, started: float
) -> TrainSettings:
    """`settings` with `images` such that the run, begun when the clock said `started`, ends at `settings.budget`, this included.

    With `settings.grow`, its network is as large as is worth while, unless it begins with weights that it is given.
    """
    watch.note(f"measuring the speed, to end after {settings.budget}")
    planned = _planned(settings, data, world, device, watch, started)
    grows = settings.grow and not settings.start  # the weights that it begins with are of one size
    while grows and planned.images > settings.grow and (larger := settings.model.larger()) is not None:
        settings = dataclasses.replace(settings, model=larger)
        watch.note("enough for a larger network")
        planned = _planned(settings, data, world, device, watch, started)
    return planned


def as_planned(settings: TrainSettings, earlier: TrainSettings) -> TrainSettings:
    """`settings` with what was planned for them when the run in the folder began."""
    model = settings.model
    while settings.grow and model is not None and model != earlier.model:
        model = model.larger()
    return dataclasses.replace(settings, images=earlier.images, model=settings.model if model is None else model)


def _planned(
    settings: TrainSettings, data: Dataset | Scenes, world: World, device: torch.device, watch: Watch, started: float
) -> TrainSettings:
    """`fit_to_budget`, of a network as large as it is."""
    budget = seconds(settings.budget)
    trial = Trainee(settings, data, world, device)

    # The first round pays for memory and kernels that later ones find ready.
    _round(trial, 0)
    seen, spent, patience = 0, 0.0, min(20.0, max(2.0, 0.05 * budget))
    while not seen or (spent < patience and world.agree(time.perf_counter() - started) < budget / 2):
        began = time.perf_counter()
        seen = _round(trial, seen)
        spent = world.agree(spent + time.perf_counter() - began)

    # A sheet of samples now and then is part of the price.
    began = time.perf_counter()
    sheet(trial.best(), trial.stream, settings)
    health(trial)
    pause = time.perf_counter() - began
    per_image = world.agree(spent / seen + pause / settings.sample_every)
    left = MARGIN * (budget - world.agree(time.perf_counter() - started))
    images = max(1, int(left / per_image / settings.batch)) * settings.batch
    watch.note(f"{1 / per_image:,.0f} images/s: {images:,} images until {settings.budget} are over")
    return dataclasses.replace(settings, images=images)


def _round(trial: Trainee, seen: int) -> int:
    """Steps until every phase has been due once; returns the number of images seen after it."""
    for _ in range(math.lcm(*(phase.every for phase in trial.phases))):
        trial.step(seen)
        seen += trial.settings.batch
    return seen
