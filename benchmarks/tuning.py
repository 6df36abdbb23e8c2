"""How well settings are searched within a budget: the bars of docs/tuning.md.

    python -m benchmarks.tuning overshoot [BUDGET]               seconds of the whole command against its budget
    python -m benchmarks.tuning kill [BUDGET] [TIMES]            kill -9 in the search, the same command again: trials kept
    python -m benchmarks.tuning planted [BUDGET] [SEEDS] [SIZE]  a learning rate 30 times too small: how much of the gap is recovered
    python -m benchmarks.tuning default [BUDGET] [SEEDS] [SIZE]  the recipe as it is: the winner against the default

The recipe is digits-vae on MNIST, and it needs SFUMATO_DATA. For the last two, a second is a hundred steps of training, so that their
figures depend neither on the machine nor on its other work. SEEDS are such as 0,1; SIZE is that of the images, 28 or, with a network of an
eighth of the channels and batches of 32 images, less.
"""

import dataclasses
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import sfumato as sf
from benchmarks.arguments import chosen_part
from sfumato.core.device import instructions
from sfumato.train.settings import TrainSettings, seconds
from sfumato.train.step import Trainee
from sfumato.tuning.goal import Goal
from sfumato.tuning.journal import LOG, NAME
from sfumato.tuning.plan import divided
from sfumato.tuning.trials import Trainer

RECIPE, PLANTED, STEPS = "digits-vae", 30.0, 100


def command(folder: str, budget: str) -> list[str]:
    """The command line of a search."""
    return [sys.executable, "-m", "sfumato", "tune", RECIPE, "--budget", budget, "--search", "lr,batch", "--out", folder]


def overshoot(budget: str = "5min") -> None:
    """Seconds of the whole process, start of Python included, against the budget."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(command(folder, budget), check=True)
        took = time.perf_counter() - began
    print(f"budget {seconds(budget):.0f} s, took {took:.1f} s: {took / seconds(budget) - 1:+.1%}")


def kill(budget: str = "5min", times: str = "5") -> None:
    """Finished trials before a kill -9 some time after the first, and how many of them are there after the same command again."""
    for number in range(int(times)):
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen(command(folder, budget), stdout=subprocess.DEVNULL)
            while not finished(folder) and process.poll() is None:
                time.sleep(0.5)
            time.sleep(random.Random(number).uniform(0, 0.2) * seconds(budget))
            process.kill()  # SIGKILL; nothing, if it has ended by now
            process.wait()
            before = finished(folder)
            subprocess.run(command(folder, budget), check=True, stdout=subprocess.DEVNULL)
            after = finished(folder)
        kept = sum(after.get(trial) == figures for trial, figures in before.items())
        print(f"kill {number}: {kept} of {len(before)} finished trials kept; {len(after)} at the end", flush=True)


def finished(folder: str) -> dict[int, object]:
    """The figures of the trials that are over, by their numbers."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = Path(folder, LOG)
    if not path.exists():
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    if NAME not in optuna.get_all_study_names(storage):
        return {}
    trials = optuna.load_study(study_name=NAME, storage=storage).trials
    return {trial.number: trial.user_attrs.get("figures") for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")}


def count_steps() -> None:
    """Lets budgets count steps of training and not seconds, here and in all of the package."""
    step, now = Trainee.step, [0.0]

    def counted(trainee: Trainee, images_seen: int) -> dict[str, torch.Tensor]:
        now[0] += 1 / STEPS
        return step(trainee, images_seen)

    Trainee.step = counted
    time.perf_counter = lambda: now[0]


def settings_of(size: int) -> TrainSettings:
    """The recipe for images of this size."""
    settings = sf.recipe(RECIPE)
    if size == 28:
        return settings
    return sf.override(settings, f"model.size=[{size},{size}]", "model.width=2", "model.max_width=8", "model.latent_dim=8", "batch=32")


def planted(budget: str = "10min", seeds: str = "0,1,2,3,4", size: str = "28") -> None:
    """The share of the gap between a learning rate 30 times too small and that of the recipe that the winner recovers.

    Not too large: the small network for images of 14 pixels is better with 30 times the recipe's rate.
    """
    count_steps()
    good = settings_of(int(size))
    length = divided(seconds(budget)).whole
    for seed in map(int, seeds.split(",")):
        right = dataclasses.replace(good, seed=seed)
        wrong = dataclasses.replace(right, lr=good.lr / PLANTED)
        with tempfile.TemporaryDirectory() as folder:
            result = sf.tune(wrong, out=folder, budget=budget, search=["lr"], note=print)
            trainer = Trainer(right, goal=Goal())
            runs = {"right": {}, "wrong": {"lr": wrong.lr}, "found": {"lr": result.recipe.lr}}
            figures = {name: trainer(values, Path(folder, name), length) for name, values in runs.items()}
        gap = trainer.goal.gain(figures["right"], figures["wrong"])
        share = trainer.goal.gain(figures["found"], figures["wrong"]) / gap if math.isfinite(gap) else math.nan
        print(f"seed {seed}: {figures}; lr {result.recipe.lr:.3g}: {share:.0%} of the gap recovered. {result.sentence}", flush=True)


def default(budget: str = "10min", seeds: str = "0,1,2,3,4", size: str = "28") -> None:
    """The sentence of the comparison for the recipe as it is."""
    count_steps()
    for seed in map(int, seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            result = sf.tune(dataclasses.replace(settings_of(int(size)), seed=seed), out=folder, budget=budget, note=print)
            print(f"seed {seed}: {result.sentence}; {json.dumps(result.values)}", flush=True)


if __name__ == "__main__":
    part, arguments = chosen_part((overshoot, kill, planted, default), __doc__)
    print(instructions())
    part(*arguments)
