"""The training loop.

    files -> dataset -> stream -> augment -> model -> objective -> optimiser step -> checkpoint

Resume is the same call again. Order and randomness are functions of (seed, images seen), and all else is in `state/`, so a
run killed at any moment goes on to the very weights it would have had.
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from sfumato.core import atomic_io
from sfumato.core.config import dump
from sfumato.core.device import select_device
from sfumato.core.versions import made_with
from sfumato.data.dataset import Dataset, Scenes
from sfumato.store import checkpoint
from sfumato.store.cards import DataFacts, ModelCard, Origin, PlanChange
from sfumato.store.loaded import LoadedModel
from sfumato.train import plan, speeds
from sfumato.train.deadline import Deadline
from sfumato.train.distributed import World
from sfumato.train.figures import Figures
from sfumato.train.folder import refuse_lost, state_file
from sfumato.train.log import Callback, RunLog
from sfumato.train.prepare import about, begun_afresh, prepared
from sfumato.train.recovery import Recovery
from sfumato.train.request import TrainingRequest
from sfumato.train.samples import health, measure, sheet, sheet_cost
from sfumato.train.schedule import Schedule
from sfumato.train.settings import TrainSettings, named, often, shareable
from sfumato.train.signals import Interrupts
from sfumato.train.step import Trainee
from sfumato.train.stored import Origin as StoredOrigin

SAVE, REHEARSE, STOP = 1.0, 2.0, 3.0
"""Alarms. A larger one includes the smaller ones, except that a run that stops makes no rehearsal."""


def fit(
    requested: TrainSettings,
    *,
    run: str | Path | None = None,
    data: Dataset | Scenes | None = None,
    watch: Callback | None = None,
    device: str = "auto",
    began: float | None = None,
    finish: bool = True,
) -> LoadedModel[nn.Module]:
    """Trains the network of `requested` and returns the model: the average of the network's weights, its settings and its card.

    With a `run` folder, settings, log, samples, model and state are written there, and the same call resumes a stopped run. On SIGINT or
    SIGTERM it saves and returns early, and `interrupted` of the model is true. `data` replaces the images that `requested.data` names.
    With more images or a longer budget than the run in the folder has, that run is prolonged. A budget counts from this call, or from
    the value `began` of `time.perf_counter()`. Without `finish` the objective does not complete the network at the end, such as by fitting
    a latent prior: for a run that is only measured on held-out images.
    Raises SettingError for a `run` folder with settings that no file could give back; CheckpointError if `run` belongs to other settings
    or images, or holds files of no run, BudgetSpentError if a longer budget is over already; DivergenceError if a loss is no longer finite;
    StorageError if the disk does not take the files, or another process trains in `run`. The last state stays whole in each case.
    """
    run = None if run is None else Path(run)
    if run is not None:
        refuse_lost(requested, run)
    chosen = select_device(device)
    with World(chosen) as world:
        listener = watch if watch and world.leads else Callback()
        with atomic_io.alone(run) if run is not None and world.leads else contextlib.nullcontext():
            begun = time.perf_counter() if began is None else began
            request = TrainingRequest(
                settings=requested, run=run, data=data, watch=listener, world=world, device=chosen, began=begun, finish=finish
            )
            return _train(request)


def _train(request: TrainingRequest) -> LoadedModel[nn.Module]:  # noqa: PLR0915  the loop is one story
    """`fit`, within an open world of processes."""
    job, run, watch, world = prepared(request), request.run, request.watch, request.world
    recovery, trainee, data, start = job.recovery, job.recovery.trainee, job.data, job.start
    log = RunLog(run if world.leads else None, images_seen=start, elapsed=job.elapsed + time.perf_counter() - request.began)
    figures, images_seen, trained, saved = Figures(), start, False, log.elapsed
    model: LoadedModel[nn.Module] | None = None

    def say(lines: Iterable[str]) -> None:
        _report(lines, images_seen, watch, log)

    with Interrupts() as interrupts, log:
        watch.start(trainee.settings, trainee.model, images_seen, request.device, trainee.precision)
        remarks = about(trainee.settings, data, job.training) + job.remarks
        _greet(remarks, begun_afresh(trainee) if not start else [], watch, log)
        say(job.notes)
        deadline = Deadline(
            trainee.settings, job.costs, lambda: log.elapsed, cycle=trainee.cycle, sheet=sheet_cost(trainee.model, trainee.settings)
        )
        while True:
            # Was the run sent back? Then the log goes on from the state that it went back to.
            if recovery.sent_back:
                lost, start = images_seen, recovery.go_back()
                images_seen, figures = start, Figures()
                log.rewind(images_seen)
                say([f"{recovery.why}, {lost - images_seen:,} images back"])

            # Does the plan still hold?
            say(plan.replanned(deadline, trainee, run, images_seen, repeats=images_seen > start))
            settings = trainee.settings

            # Due at this point? A resumed run has done everything that was due at its start before it was stopped.
            done, fresh = images_seen >= settings.images, images_seen > start
            late = log.elapsed > saved + deadline.save_interval and deadline.affords_save
            alarm = world.agree(STOP if interrupts.caught else REHEARSE if deadline.rehearses else SAVE if late else 0.0)
            stop = done or alarm == STOP

            # Rehearsal: the time of the end is measured once, for a budget.
            if alarm == REHEARSE and not stop:
                _rehearse(recovery, deadline, job.held_out, finish=request.finish)

            # Samples and validation.
            omitted = done and fresh and world.agree(float(deadline.omits_samples)) > 0
            say(["no time is left in the budget for the last samples"] * omitted)
            if fresh and not omitted and (done or _due(settings.sample_every, images_seen, settings)):
                with deadline.timed("sample"):
                    figures.add(_sample(recovery, job.held_out, log, images_seen))
            elif fresh and not omitted and _due(often(settings.sample_every, settings), images_seen, settings):
                with deadline.excluded():
                    figures.add(recovery.look())

            # Log.
            lines = often(settings.log_every, settings)
            if figures and (stop or _due(lines, images_seen, settings)):
                row = log.row(figures.take(world), images_seen, settings)
                watch.row(row, settings)

            # Doctor.
            if fresh and (done or _due(lines, images_seen, settings)):
                recovery.visit(say, images_seen=images_seen)
                if recovery.sent_back:
                    continue
                if done and (verdict := recovery.doctor.verdict()) is not None:
                    log.note(str(verdict), images_seen)
                    watch.verdict(verdict, settings)

            # Save.
            good = fresh and _due(settings.save_every, images_seen, settings)
            if good:
                recovery.keep(images_seen)
            if stop or (run is not None and (good or (fresh and alarm))):
                # If the run was complete before this call, `minutes` keeps the training time and excludes the call.
                model = _save(recovery, deadline, run, data, images_seen, log.elapsed if trained else job.elapsed, done and request.finish)
                saved = log.elapsed
            if stop:
                break

            # Step.
            figures.add(recovery.step(images_seen))
            deadline.step()
            trained = True
            images_seen += 0 if recovery.sent_back else settings.batch
            watch.step(images_seen, settings)

    if trained and world.leads and request.finish:
        speeds.remember(speeds.key(settings, request.device, world.size), deadline.measured())
    watch.finish(images_seen, settings, run, interrupted=not done)
    assert model is not None, "the loop saves before it stops"
    return model


def _sample(recovery: Recovery, held_out: Dataset | Scenes | None, log: RunLog, images_seen: int) -> dict[str, torch.Tensor]:
    """Writes a sheet of samples. Returns the figures of held-out images, and of generated ones, which the doctor gets too."""
    trainee = recovery.trainee
    log.picture(sheet(trainee.best(), trainee.stream, trainee.settings) if trainee.world.leads else None, images_seen)
    return measure(trainee.settings, trainee.best(), held_out, trainee.device) | recovery.look()


def _rehearse(recovery: Recovery, deadline: Deadline, held_out: Dataset | Scenes | None, *, finish: bool) -> None:
    """Measures the times of the parts of the end of the run, except for saving. Weights and doctor stay as they are."""
    trainee = recovery.trainee
    with deadline.timed("sample"):
        if trainee.world.leads:
            sheet(trainee.best(), trainee.stream, trainee.settings)
        measure(trainee.settings, trainee.best(), held_out, trainee.device)
        health(trainee)
    with deadline.timed("finish"):
        finished(trainee, complete=finish)


def _origin_facts(trainee: Trainee) -> StoredOrigin:
    """The model with whose weights training began, in the form for files."""
    model = trainee.origin.get("model")
    return trainee.origin if model is None or trainee.settings.keep_paths else {**trainee.origin, "model": named(model)}


def finished(trainee: Trainee, complete: bool) -> nn.Module:
    """The network for use. At the end of a run the objective completes it, such as by fitting a latent prior."""
    model = trainee.best()
    if complete:
        trainee.settings.objective.finish(model, trainee.stream)
    return model


def describe(
    settings: TrainSettings, data: Dataset | Scenes, images_seen: int, elapsed: float, *, origin: StoredOrigin, schedule: Schedule
) -> ModelCard:
    """The card that travels inside the model file.

    `origin` describes the model with whose weights training began, and `schedule` the changes of the plan. Changes after `images_seen`
    images are left out.
    """
    changes = [change for change in schedule.changes if change.images_seen <= images_seen]
    facts = DataFacts(
        name=data.name,
        images=len(data),
        classes=tuple(data.classes),
        terms=data.terms,
        sha256=data.fingerprint,
        split_by=data.split_by,
    )
    return ModelCard(
        made_with=made_with(),
        data=facts,
        training=dump(settings),
        images_seen=images_seen,
        minutes=round(elapsed / 60, 2),
        started_from=Origin.read(origin, "the origin of the weights"),
        plan=tuple(PlanChange(images_seen=c.images_seen, minutes=round(c.seconds / 60, 2), note=str(c)) for c in changes),
    )


def _greet(remarks: Iterable[str], new: Iterable[str], watch: Callback, log: RunLog) -> None:
    """Reports `remarks` on the data, which the log does not keep, and `new` sentences, which it keeps."""
    for line in remarks:
        watch.note(line)
    _report(new, 0, watch, log)


def _report(lines: Iterable[str], images_seen: int, watch: Callback, log: RunLog) -> None:
    """Gives `lines` to the callback, and writes them to the log."""
    for line in lines:
        watch.note(line)
        log.note(line, images_seen)


def _due(every: int, images_seen: int, settings: TrainSettings) -> bool:
    """Whether the last batch passed a multiple of `every`."""
    return images_seen // every > (images_seen - settings.batch) // every


def _save(
    recovery: Recovery, deadline: Deadline, run: Path | None, data: Dataset | Scenes, images_seen: int, elapsed: float, complete: bool
) -> LoadedModel[nn.Module]:
    """The network to use, with its settings and its card; with a `run` folder it is written there, and the state to go on from."""
    trainee = recovery.trainee
    with deadline.timed("finish") if complete else contextlib.nullcontext():
        network = finished(trainee, complete)
    # A model in memory keeps the paths of its images.
    settings, origin = (trainee.settings, trainee.origin) if run is None else (shareable(trainee.settings), _origin_facts(trainee))
    card = describe(settings, data, images_seen, elapsed, origin=origin, schedule=trainee.schedule)
    file = None if run is None else run / "model.safetensors"
    model = LoadedModel(network=network, config=trainee.settings.model, card=card, path=file)
    if run is not None and trainee.world.leads:
        info = {"seen": images_seen, "elapsed": elapsed, "data": data.fingerprint, "split_by": data.split_by, "origin": origin}
        with deadline.timed("save"):
            info |= recovery.save(images_seen, state_file(run, "well"))
            checkpoint.write_tensors(state_file(run), trainee.tensors(), info)
            checkpoint.save_model(run / "model.safetensors", model)
    trainee.world.wait()
    return model
