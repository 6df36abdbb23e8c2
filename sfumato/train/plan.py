"""A wall-clock budget becomes a number of images: measure the speed on a throw-away copy, then fit the schedule to what is left."""

import dataclasses
import math
import time

import torch

from sfumato.data.dataset import Dataset
from sfumato.train.distributed import World
from sfumato.train.log import Watch
from sfumato.train.samples import sheet
from sfumato.train.settings import TrainSettings, seconds
from sfumato.train.step import Trainee

MARGIN = 0.97
"""Share of the time left that is planned for; the rest is for what slows a machine down meanwhile."""


def fit_to_budget(settings: TrainSettings, data: Dataset, world: World, device: torch.device, watch: Watch) -> TrainSettings:
    """`settings` with `images` such that the run, the measurement included, ends at `settings.budget`."""
    started, budget = time.perf_counter(), seconds(settings.budget)
    watch.note(f"measuring the speed, to end after {settings.budget}")
    trial = Trainee(settings, data, world, device)
    cycle = math.lcm(*(phase.every for phase in trial.phases))
    steps, spent, first, patience = 0, 0.0, True, min(20.0, max(2.0, 0.05 * budget))
    while world.agree(spent) < patience:
        began = time.perf_counter()
        for _ in range(cycle):
            trial.step(settings.batch * (cycle + steps))
            steps += 1
        # The first round pays for memory and kernels that later ones find ready.
        if first and (time.perf_counter() - started) < budget / 2:
            first, steps, started_after = False, 0, time.perf_counter()
            began = started_after
        spent += time.perf_counter() - began
    pause = time.perf_counter()
    sheet(trial.best(), trial.stream)
    pause = time.perf_counter() - pause
    speed = settings.batch * max(1, steps) / spent if steps else settings.batch / spent
    per_image = 1 / speed + pause / settings.sample_every
    slowest, gone = world.agree(per_image), world.agree(time.perf_counter() - started)
    left = MARGIN * (budget - gone)
    images = max(1, int(left / slowest / settings.batch)) * settings.batch
    watch.note(f"{1 / slowest:,.0f} images/s: {images:,} images until {settings.budget} are over")
    return dataclasses.replace(settings, images=images)
