"""The training loop.

    files -> dataset -> stream -> augment -> model -> objective -> optimiser step -> checkpoint

Resume is the same call again. Order and randomness are functions of (seed, images seen), and all else is in `state/`, so a
run killed at any moment goes on to the very weights it would have had.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato import __version__
from sfumato.core import runtime
from sfumato.core import settings as trees
from sfumato.core.errors import CheckpointError
from sfumato.data.dataset import Dataset
from sfumato.data.load import load
from sfumato.store import checkpoint
from sfumato.train import plan
from sfumato.train.distributed import World
from sfumato.train.doctor import Doctor
from sfumato.train.log import Figures, RunLog, Watch
from sfumato.train.samples import measure, sheet
from sfumato.train.settings import TrainSettings, resolve
from sfumato.train.signals import Interrupts
from sfumato.train.step import Trainee


def fit(
    asked: TrainSettings, *, run: Path | None = None, data: Dataset | None = None, watch: Watch | None = None, device: str = "auto"
) -> nn.Module:
    """Trains the network of `asked` and returns it: the average of its weights, with `config` and `card` attached.

    With a `run` folder, settings, log, samples, model and state are kept there, and the same call goes on where it stopped. On
    SIGINT or SIGTERM it saves and returns early, with `interrupted` set on the network. `data` replaces what `asked.data` names.
    Raises CheckpointError if `run` belongs to other settings or images, DivergenceError if a loss is no longer finite,
    StorageError if the disk does not take the files; the last state stays whole in each case.
    """
    watch = watch or Watch()
    world, where = World(), runtime.device(device)

    # Data, and what the network takes from it.
    data = data or load(asked.data, size=asked.model.size, channels=asked.model.channels, crop=asked.crop)
    for line in data.skipped if world.leads else ():
        watch.note(f"skipped {line}")
    training, held_out = data.split(asked.validation) if asked.validation else (data, None)
    settings = resolve(asked, training)
    earlier = _earlier(run)
    if not settings.budget:
        settings = _same(earlier, settings, run)
    elif earlier and earlier.budget == settings.budget:
        settings = _same(earlier, dataclasses.replace(settings, images=earlier.images), run)
    else:
        _same(earlier, settings, run)
        settings = plan.fit_to_budget(settings, training, world, where, watch)
    if run is not None and world.leads and earlier is None:
        checkpoint.write_text(run / "settings.json", json.dumps(trees.dump(settings), indent=2) + "\n")

    # Network, optimisers, and the state they had when we stopped.
    trainee, seen, elapsed = Trainee(settings, training, world, where), 0, 0.0
    state = run / "state" / "state.safetensors" if run else None
    if state is not None and state.exists():
        tensors, info = checkpoint.read_tensors(state)
        if info["data"] != data.fingerprint:
            raise CheckpointError(f"{run} was trained on other images than {data.name} now holds; choose another folder with --out")
        trainee.restore(tensors)
        seen, elapsed = info["seen"], info["elapsed"]
    log = RunLog(run if world.leads else None, seen=seen, elapsed=elapsed)
    figures, doctor = Figures(), Doctor()
    watch.start(settings, trainee.model, seen, where, trainee.precision)

    with Interrupts() as interrupts:
        while True:
            done = seen >= settings.images
            stop = done or bool(world.agree(float(interrupts.caught)))

            # Samples and validation.
            if _due(settings.sample_every, seen, settings) or done:
                picture = sheet(trainee.best(), trainee.stream) if world.leads else None
                log.picture(picture, seen)
                figures.add(measure(settings, trainee.best(), held_out, where))

            # Log.
            if (_due(settings.log_every, seen, settings) or stop) and seen > 0 and figures:
                row = figures.take(world)
                if world.leads:
                    row = log.row(row, seen, settings)
                    watch.row(row, settings)
                    for warning in doctor.look(row):
                        watch.note(warning)
                        log.note(warning, seen)

            # Save.
            if run is not None and (_due(settings.save_every, seen, settings) or stop):
                if world.leads:
                    info = {"seen": seen, "elapsed": log.elapsed, "data": data.fingerprint}
                    checkpoint.write_tensors(run / "state" / "state.safetensors", trainee.tensors(), info)
                    card = describe(settings, data, seen, log.elapsed)
                    checkpoint.save(run / "model.safetensors", finished(trainee, done), settings.model, card)
                world.wait()
            if stop:
                break

            # Step.
            figures.add(trainee.step(seen))
            seen += settings.batch

    # Hand over.
    log.close()
    model: Any = finished(trainee, done)
    model.config, model.card, model.interrupted = settings.model, describe(settings, data, seen, log.elapsed), not done
    watch.finish(seen, settings, run, interrupted=not done)
    del trainee
    world.leave()
    return model


def finished(trainee: Trainee, done: bool) -> nn.Module:
    """The network to use. At the end of a run the objective may add what only a trained network can have, such as a latent prior."""
    model = trainee.best()
    finish = getattr(trainee.settings.objective, "finish", None)
    if done and finish is not None:
        finish(model, trainee.stream)
    return model


def describe(settings: TrainSettings, data: Dataset, seen: int, elapsed: float) -> dict[str, Any]:
    """The card that travels inside the model file."""
    return {
        "made_with": f"sfumato {__version__}, torch {torch.__version__}",
        "data": {"name": data.name, "images": len(data), "classes": list(data.classes), "terms": data.terms, "sha256": data.fingerprint},
        "training": trees.dump(settings),
        "images_seen": seen,
        "minutes": round(elapsed / 60, 2),
        "metrics": [],
    }


def _due(every: int, seen: int, settings: TrainSettings) -> bool:
    """Whether a multiple of `every` was passed by the last batch."""
    return seen > 0 and seen // every > (seen - settings.batch) // every


def _earlier(run: Path | None) -> TrainSettings | None:
    """The settings of the run that is already in the folder."""
    if run is None or not (run / "settings.json").exists():
        return None
    try:
        return trees.parse(json.loads((run / "settings.json").read_text(encoding="utf-8")))
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise CheckpointError(f"{run / 'settings.json'} cannot be read ({error}); choose another folder with --out") from error


def _same(earlier: TrainSettings | None, settings: TrainSettings, run: Path | None) -> TrainSettings:
    """`settings`, if the folder is empty or holds a run of the same ones."""
    if earlier is None or earlier == settings:
        return settings
    old, new = _flat(trees.dump(earlier)), _flat(trees.dump(settings))
    name = next(k for k in [*old, *new] if old.get(k) != new.get(k))
    raise CheckpointError(
        f"{run} holds a run of other settings: {name} = {old.get(name)!r} there, {new.get(name)!r} here; choose another folder with --out"
    )


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{path}.{key}".strip(".")).items()}
