"""The training loop.

    files -> dataset -> stream -> augment -> model -> objective -> optimiser step -> checkpoint

Resume is the same call again. Order and randomness are functions of (seed, images seen), and all else is in `state/`, so a
run killed at any moment goes on to the very weights it would have had.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato import __version__
from sfumato.core import disk, runtime, schema
from sfumato.core import settings as trees
from sfumato.core.errors import CheckpointError, SettingError
from sfumato.data.dataset import Dataset, Scenes, SplitBy
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes
from sfumato.data.stream import middles
from sfumato.store import checkpoint
from sfumato.train import plan, speeds
from sfumato.train.care import Care
from sfumato.train.class_tables import Transfer
from sfumato.train.deadline import Costs, Deadline
from sfumato.train.distributed import World
from sfumato.train.held_out import split_rule
from sfumato.train.log import Figures, RunLog, Watch
from sfumato.train.samples import health, measure, sheet
from sfumato.train.schedule import Schedule
from sfumato.train.settings import TrainSettings, named, repairs, resolve, shareable
from sfumato.train.signals import Interrupts
from sfumato.train.step import Trainee
from sfumato.train.stored import State

AT_MOST_LOST_S = 300.0
"""A run is saved at least so often, in seconds, and every fifth of its budget, however slow it is: `save_every` counts images."""


def fit(
    asked: TrainSettings,
    *,
    run: Path | None = None,
    data: Dataset | Scenes | None = None,
    watch: Watch | None = None,
    device: str = "auto",
    began: float | None = None,
) -> nn.Module:
    """Trains the network of `asked` and returns it: the average of its weights, with `config` and `card` attached.

    With a `run` folder, settings, log, samples, model and state are kept there, and the same call goes on where it stopped. On
    SIGINT or SIGTERM it saves and returns early, with `interrupted` set on the network. `data` replaces what `asked.data` names.
    With more images or a longer budget than the run in the folder was given, that run is prolonged. A budget counts from this call, or
    from when `time.perf_counter()` said `began`.
    Raises SettingError for a `run` folder with settings that no file could give back; CheckpointError if `run` belongs to other settings
    or images, or holds what is no run's; DivergenceError if a loss is no longer finite; StorageError if the disk does not take the files,
    or another process trains in `run`. The last state stays whole in each case.
    """
    if run is not None:
        _refuse_lost(asked, run)
    where = runtime.device(device)
    with World(where) as world:
        listener = watch if watch and world.leads else Watch()
        with disk.alone(run) if run is not None and world.leads else contextlib.nullcontext():
            return _train(asked, run, data, listener, world, where, time.perf_counter() if began is None else began)


def _train(
    asked: TrainSettings,
    run: Path | None,
    data: Dataset | Scenes | None,
    watch: Watch,
    world: World,
    where: torch.device,
    began: float,
) -> nn.Module:
    """`fit`, in a world that is open."""
    job = _prepared(asked, run, data, watch, world, where, began)
    care, trainee, data, start = job.care, job.care.trainee, job.data, job.start
    log = RunLog(run if world.leads else None, seen=start, elapsed=job.elapsed + time.perf_counter() - began)
    deadline = Deadline(trainee.settings, job.costs, lambda: log.elapsed, cycle=trainee.cycle)
    figures, seen, trained, saved = Figures(), start, False, log.elapsed
    model: Any = None

    def say(lines: Iterable[str]) -> None:
        _tell(lines, seen, watch, log)

    with log, Interrupts() as interrupts:
        watch.start(trainee.settings, trainee.model, seen, where, trainee.precision)
        _greet(about(trainee.settings, data, job.training), _afresh(trainee) if not start else [], watch, log)
        say(job.notes)
        while True:
            # Was it sent back? What is said of it is said of where it is then, for a run that goes on forgets what came after.
            if care.sent_back:
                lost, start = seen, care.go_back()
                seen, figures = start, Figures()
                log.rewind(seen)
                say([f"{care.why}, {lost - seen:,} images back"])

            # Does the plan still hold?
            say(plan.replanned(deadline, trainee, run, seen, repeats=seen > start))
            settings = trainee.settings

            # Where are we? What is due at the start was done before the interruption.
            done, fresh = seen >= settings.images, seen > start
            alarm = world.agree(2.0 if interrupts.caught else float(log.elapsed > saved + min(AT_MOST_LOST_S, deadline.budget / 5)))
            stop = done or alarm > 1

            # Samples and validation.
            if fresh and (done or _due(settings.sample_every, seen, settings)):
                with deadline.timed("sample"):
                    figures.add(_sample(care, job.held_out, log, seen))

            # Log.
            if figures and (stop or _due(settings.log_every, seen, settings)):
                row = log.row(figures.take(world), seen, settings)
                watch.row(row, settings)

            # Doctor.
            if fresh and (done or _due(settings.log_every, seen, settings)):
                care.visit(say, done=done)
                if care.sent_back:
                    continue

            # Save.
            good = fresh and _due(settings.save_every, seen, settings)
            if good:
                care.keep(seen)
            if stop or (run is not None and (good or (fresh and alarm))):
                # If the run was complete before this call, `minutes` keeps the training time and excludes the call.
                model = _save(care, deadline, run, data, seen, log.elapsed if trained else job.elapsed, done)
                saved = log.elapsed
            if stop:
                break

            # Step.
            figures.add(care.step(seen))
            deadline.step()
            trained = True
            seen += 0 if care.sent_back else settings.batch
            watch.step(seen, settings)

    if trained and world.leads:
        speeds.remember(speeds.key(settings, where, world.size), deadline.found())
    watch.finish(seen, settings, run, interrupted=not done)
    return model


@dataclass(frozen=True, kw_only=True)
class _Job:
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


def _prepared(
    asked: TrainSettings,
    run: Path | None,
    data: Dataset | Scenes | None,
    watch: Watch,
    world: World,
    where: torch.device,
    began: float,
) -> _Job:
    """Data, network and optimisers, and the state and the plan that they had when the run in the folder stopped."""
    data = _gathered(asked, run, data)
    training, held_out = _parts(data, asked)
    settings, costs = _resolved(asked, training, run, world, where, watch, began)
    fresh, schedule = run is None or not _state(run).exists(), plan.recorded(run, settings)
    care = Care(Trainee(settings, training, world, where, fresh=fresh, schedule=schedule))
    start, elapsed = _go_on(care, run, data)
    notes = plan.prolong(care.trainee, asked, costs, run, start, elapsed)
    if run is not None and world.leads:
        disk.sweep(run)
        plan.record(run, care.trainee)
    return _Job(
        care=care,
        data=data,
        training=training,
        held_out=held_out,
        costs=costs,
        start=start,
        elapsed=elapsed,
        notes=notes,
    )


def _resolved(
    asked: TrainSettings, training: Dataset | Scenes, run: Path | None, world: World, where: torch.device, watch: Watch, began: float
) -> tuple[TrainSettings, Costs]:
    """The settings of the run, and what it will take as far as that is known.

    What was left open is taken from the data and the budget, or from the run that is in the folder.
    """
    settings, earlier = resolve(asked, training), _earlier(run)
    if earlier is None:
        return plan.fit_to_budget(settings, training, world, where, watch, started=began) if settings.budget else (settings, Costs())
    settings = plan.as_planned(settings, earlier)
    _same(earlier, settings, run)
    return settings, (plan.recalled(settings, world, where) if settings.budget else None) or Costs()


def _refuse_lost(asked: TrainSettings, run: Path) -> None:
    """Raises SettingError if what training would write could not be loaded again: a file names files of this package alone."""
    if told := trees.lost(asked):
        raise SettingError(
            f"{told}, which is no part of sfumato, so that nothing could load what would be written to {run}; give it a file in the room "
            "of its kind, as CONTRIBUTING.md shows, or train without a run folder (run=None) and keep the network in memory"
        )


def _sample(care: Care, held_out: Dataset | Scenes | None, log: RunLog, seen: int) -> dict[str, torch.Tensor]:
    """Draws a sheet of samples; returns the figures of held-out images, and those of generated ones, which the doctor hears too."""
    trainee = care.trainee
    log.picture(sheet(trainee.best(), trainee.stream, trainee.settings) if trainee.world.leads else None, seen)
    pulse = health(trainee)
    care.doctor.figures.add(pulse)
    return measure(trainee.settings, trainee.best(), held_out, trainee.device) | pulse


def _parts(data: Dataset | Scenes, asked: TrainSettings) -> tuple[Any, Any]:
    """What is trained on, and what is held out, if anything."""
    if not asked.validation:
        return data, None
    training, held_out = data.split(asked.validation, purpose="validation")
    if repairs(asked) and len(held_out):
        middles(held_out, asked.patch, most=1)  # what cannot be measured is told now and not at the first sample
    return training, held_out


def _gathered(asked: TrainSettings, run: Path | None, data: Dataset | Scenes | None) -> Dataset | Scenes:
    """The images to train on, divided as they are in the run that is in the folder: `data`, or what `asked` names."""
    rule = split_rule(asked, _state(run) if run else None)
    return gather(asked, rule) if data is None else dataclasses.replace(data, split_by=rule)


def gather(asked: TrainSettings, split_by: SplitBy = "original") -> Dataset | Scenes:
    """The images to train on: all of one size, or as they are for a network that repairs."""
    options: Any = {"channels": asked.model.channels, "tolerance": asked.tolerance, "split_by": split_by}
    return load_scenes(asked.data, **options) if repairs(asked) else load(asked.data, size=asked.model.size, crop=asked.crop, **options)


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


def _afresh(trainee: Trainee) -> list[str]:
    """What the weights that training began with did not include."""
    start, origin = shareable(trainee.settings).start, trainee.origin
    lines = [f"{start} has no {part}: it begins afresh" for part in origin.get("missing", [])]
    if (transfer := origin.get("classes")) and (sentence := str(Transfer(**transfer))):
        lines.append(f"{start}: {sentence}")
    return lines


def _told(trainee: Trainee) -> dict[str, Any]:
    """With whose weights training began, as it is written down."""
    model = trainee.origin.get("model")
    return trainee.origin | ({} if model is None or trainee.settings.keep_paths else {"model": named(model)})


def finished(trainee: Trainee, done: bool) -> nn.Module:
    """The network to use. At the end of a run the objective may add what only a trained network can have, such as a latent prior."""
    model = trainee.best()
    finish = getattr(trainee.settings.objective, "finish", None)
    if done and finish is not None:
        finish(model, trainee.stream)
    return model


def describe(
    settings: TrainSettings, data: Dataset | Scenes, seen: int, elapsed: float, *, origin: dict[str, Any], schedule: Schedule
) -> dict[str, Any]:
    """The card that travels inside the model file.

    `origin` says with whose weights training began, if with any, and `schedule` how its plan changed, if it did. Changes that were to
    come after `seen` images are left out.
    """
    changes = [change for change in schedule.changes if change.seen <= seen]
    return {
        "made_with": f"sfumato {__version__}, torch {torch.__version__}",
        "data": {
            "name": data.name,
            "images": len(data),
            "classes": list(data.classes),
            "terms": data.terms,
            "sha256": data.fingerprint,
            "split_by": data.split_by,
        },
        "training": trees.dump(settings),
        "images_seen": seen,
        "minutes": round(elapsed / 60, 2),
        "metrics": [],
        **({"started_from": origin} if origin else {}),
        **({"plan": [{"images_seen": c.seen, "minutes": round(c.seconds / 60, 2), "note": str(c)} for c in changes]} if changes else {}),
    }


def _greet(known: Iterable[str], new: Iterable[str], watch: Watch, log: RunLog) -> None:
    """Says what is `known` of the data at every start, which the log does not keep, and what is `new`, which it does."""
    for line in known:
        watch.note(line)
    _tell(new, 0, watch, log)


def _tell(lines: Iterable[str], seen: int, watch: Watch, log: RunLog) -> None:
    """Says `lines` to whoever watches, and keeps them in the log."""
    for line in lines:
        watch.note(line)
        log.note(line, seen)


def _due(every: int, seen: int, settings: TrainSettings) -> bool:
    """Whether the last batch passed a multiple of `every`."""
    return seen // every > (seen - settings.batch) // every


def _save(care: Care, deadline: Deadline, run: Path | None, data: Dataset | Scenes, seen: int, elapsed: float, done: bool) -> Any:
    """The network to use, with its settings and its card; with a `run` folder it is written there, and the state to go on from."""
    trainee = care.trainee
    with deadline.timed("finish") if done else contextlib.nullcontext():
        model: Any = finished(trainee, done)
    # What stays in memory may tell where the images lie.
    settings, origin = (trainee.settings, trainee.origin) if run is None else (shareable(trainee.settings), _told(trainee))
    card = describe(settings, data, seen, elapsed, origin=origin, schedule=trainee.schedule)
    model.config, model.card, model.interrupted = trainee.settings.model, card, not done
    if run is not None and trainee.world.leads:
        info = {"seen": seen, "elapsed": elapsed, "data": data.fingerprint, "split_by": data.split_by, "origin": origin}
        with deadline.timed("save"):
            info |= care.save(seen, _state(run, "well"))
            checkpoint.write_tensors(_state(run), trainee.tensors(), info)
            checkpoint.save(run / "model.safetensors", model, model.config, card)
    trainee.world.wait()
    return model


def _go_on(care: Care, run: Path | None, data: Dataset | Scenes) -> tuple[int, float]:
    """Gives trainee and doctor the state that is in the folder, if there is one; says after how many images and seconds that was."""
    path = _state(run) if run else None
    if run is None or path is None or not path.exists():
        care.keep(0)
        return 0, 0.0
    tensors, info = checkpoint.read_tensors(path)
    if isinstance(known := info.get("data", data.fingerprint), str) and known != data.fingerprint:
        raise CheckpointError(
            f"{run} was trained on other images, or with other labels, than {data.name} now holds; choose another folder with --out"
        )
    try:
        schema.checked(info, State, "its header")
        care.trainee.restore(tensors)
        care.load(info, tensors, _state(run, "well"))
        care.trainee.origin = info["origin"]
        return info["seen"], info["elapsed"]
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not the state of this run ({reason}); choose another folder with --out") from error


def _state(run: Path, name: str = "state") -> Path:
    return run / "state" / f"{name}.safetensors"


def _earlier(run: Path | None) -> TrainSettings | None:
    """The settings of the run that is already in the folder.

    Raises CheckpointError if there are none, but files that training would write over; and if there is a model that it could not go on
    from.
    """
    if run is None:
        return None
    begun, others = (run / "settings.json").exists(), ("model.safetensors", "log.jsonl", "samples", "state")
    if there := next((name for name in others if not begun and (run / name).exists()), None):
        raise CheckpointError(f"{run} holds {there} of something that is no run of sfumato; choose another folder with --out")
    if not begun:
        return None
    if (run / "model.safetensors").exists() and not _state(run).exists():
        raise CheckpointError(f"{run} holds a model, but no longer the state to go on from; choose another folder with --out")
    try:
        settings = trees.parse(schema.read(run / "settings.json", dict[str, Any]))
        if not isinstance(settings, TrainSettings):
            raise TypeError("these are not the settings of a run")
        return settings
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{run / 'settings.json'} cannot be read ({error}); choose another folder with --out") from error


def _same(earlier: TrainSettings | None, settings: TrainSettings, run: Path | None) -> None:
    """Raises CheckpointError, naming the first difference, if the folder holds a run of other settings.

    Where the images lie makes no difference: a folder tells names alone, and by their content it is known whether they are the same.
    """
    if earlier is None:
        return
    there, here = (dataclasses.replace(named(each), keep_paths=False) for each in (earlier, settings))
    if there == here:
        return
    old, new = _flat(trees.dump(there)), _flat(trees.dump(here))
    name = next(k for k in [*old, *new] if old.get(k) != new.get(k))
    raise CheckpointError(
        f"{run} holds a run of other settings: {name} = {old.get(name)!r} there, {new.get(name)!r} here; choose another folder with --out"
    )


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{path}.{key}".strip(".")).items()}
