"""One training step: every phase that is due, on one batch. It depends on the weights and on the images seen alone."""

import copy
import dataclasses
import math

import torch
from torch import nn

from sfumato.core.config import family
from sfumato.core.device import autocast, channels_last, select_precision
from sfumato.core.errors import DivergenceError, SettingError
from sfumato.core.rng import derive_seed, seeded_generator
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream
from sfumato.objectives.base import Batch, Phase
from sfumato.train.distributed import World
from sfumato.train.optim import Average, learning_rate, optimizers
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import TrainSettings, class_count, class_run
from sfumato.train.stored import Origin
from sfumato.train.transfer import begin


class Trainee:
    """A network in training: its weights, their average, and the optimizers of its phases."""

    def __init__(
        self,
        settings: TrainSettings,
        data: Dataset | Scenes,
        world: World,
        device: torch.device,
        *,
        fresh: bool = True,
        schedule: Schedule | None = None,
    ) -> None:
        """Builds the network and gives it the weights that `settings.start` names, unless `restore` follows (`fresh` is False).

        Without a `schedule` the run is one of `settings.images` images. Raises SettingError if the objective does not train such a network,
        or not with these weights or these images.
        """
        self.settings, self.world, self.device = settings, world, device
        self.schedule = schedule or Schedule(settings.images)
        self.pace = 1.0
        self.share = world.share(settings.batch)
        self.precision = select_precision(settings.precision, device)
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        self.model: nn.Module = channels_last(settings.model.build(), device).train()
        _refuse_other_role(self.model, settings)
        classes = data.classes if class_count(settings) else ()
        self.origin: Origin = begin(self.model, settings.start, classes) if settings.start and fresh else {}
        if self.origin:
            settings.objective.check_start(settings.start, self.origin.get("missing", ()))
        self.average = Average(self.model, settings)
        self.phases: list[Phase] = settings.objective.phases(self.model)
        self.optimizers = optimizers(self.phases, settings)
        self.memories = {phase.name: phase.memory.to(device) for phase in self.phases if phase.memory is not None}
        self.stream = Stream(
            data, batch=settings.batch, seed=settings.seed, device=device, patch=settings.patch, run_length=class_run(settings)
        )
        settings.objective.check_images(self.model, self.stream, settings)

    @property
    def cycle(self) -> int:
        """Number of steps in which every phase is due at least once."""
        return math.lcm(*(phase.every for phase in self.phases))

    def follow(self, change: Change) -> None:
        """Changes the length of the run from now on."""
        self.schedule = self.schedule.changed(change)
        self.settings = dataclasses.replace(self.settings, images=self.schedule.images)

    def step(self, images_seen: int) -> dict[str, torch.Tensor]:
        """Trains on the batch after `images_seen` images. Returns the figures of each phase, over the batches of all processes.

        Raises DivergenceError if a loss or a gradient is not finite, before the weights of that phase change.
        """
        torch.manual_seed(derive_seed(self.settings.seed, "layers", self.world.rank, images_seen))
        batch = self._batch(images_seen)
        figures: dict[str, torch.Tensor] = {}
        for phase in self.phases:
            if (images_seen // self.settings.batch) % phase.every:
                continue
            losses = self._descend(phase, batch, images_seen)
            figures |= {f"{phase.name}/{name}": value.detach() for name, value in losses.items()}
        # Buffers of layers, such as running means, are of the share of each process.
        self.world.average([buffer for buffer in self.model.buffers() if buffer.is_floating_point()])
        if self.settings.ema:
            self.average.follow(self.model, images_seen)
        self.world.average(list(figures.values()))
        return figures

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state from which a later process goes on exactly."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.model.state_dict().items()}
        for optimizer in set(self.optimizers.values()):
            state |= {f"mover.{k}": v for k, v in optimizer.tensors().items()}
        for name, memory in self.memories.items():
            state |= {f"memory.{name}.{k}": v for k, v in memory.state_dict().items()}
        return state

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restores the state that `tensors` returned, also of an earlier release."""

        def below(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(below("model."))
        self.average.model.load_state_dict(below("average."))
        for optimizer in set(self.optimizers.values()):
            optimizer.restore(below("mover."))
        for name, memory in self.memories.items():
            stored = {memory.earlier_names.get(k, k): v for k, v in below(f"memory.{name}.").items()}
            # A buffer that an earlier release did not have begins afresh.
            memory.load_state_dict({**memory.state_dict(), **stored})

    def best(self) -> nn.Module:
        """A copy of the network for use: the averaged weights if there are any, else the present ones."""
        return copy.deepcopy(self.average.model if self.settings.ema else self.model).requires_grad_(False).eval()

    def _batch(self, images_seen: int) -> Batch:
        rng = seeded_generator(self.settings.seed, "batch", images_seen)
        clean, labels = self.stream.at(images_seen, self.share)
        batch = Batch(
            clean=clean,
            degraded=clean,
            labels=labels if class_count(self.settings) else None,
            rng=rng,
            images_seen=images_seen,
            progress=self.schedule.progress(images_seen),
            part=self.world.rank,
            parts=self.world.size,
        )
        if self.settings.augment.active:
            clean = self.settings.augment(clean, batch.uniform(self.settings.augment.draws))
            batch = dataclasses.replace(batch, clean=clean, degraded=clean)
        return self.settings.objective.prepare(batch, self.settings)

    def _descend(self, phase: Phase, batch: Batch, images_seen: int) -> dict[str, torch.Tensor]:
        # Freeze the weights of other phases: their gradients would not be used.
        self.model.requires_grad_(False)
        for weight in phase.weights:
            weight.requires_grad_(True).grad = None

        # Loss and gradients.
        with autocast(self.precision, self.device):
            losses = phase.loss(batch)
        losses["total"].backward()
        self.world.average_gradients(phase.weights)
        if phase.memory is not None:
            self.world.average(list(phase.memory.buffers()))

        # Refuse values that are not finite.
        self._refuse_divergence(phase, losses, images_seen)
        self.optimizers[phase.name].step(self.pace * learning_rate(self.settings, images_seen, self.schedule))
        return losses

    def _refuse_divergence(self, phase: Phase, losses: dict[str, torch.Tensor], images_seen: int) -> None:
        gradients = [w.grad for w in phase.weights if w.grad is not None]
        norms = torch._foreach_norm  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        norm = torch.stack(norms(gradients)).sum() if gradients else losses["total"].detach()
        finite = bool(torch.isfinite(losses["total"].detach() + norm))
        if self.world.agree(0.0 if finite else 1.0) == 0.0:
            return
        terms = losses if not torch.isfinite(losses["total"]) else {}  # otherwise the other figures are not the cause
        causes = [f"{name} = {value.item()}" for name, value in terms.items() if not torch.isfinite(value)]
        names = {id(w): name for name, w in self.model.named_parameters()}
        causes += [f"the gradient of {names[id(w)]}" for w in phase.weights if w.grad is not None and not torch.isfinite(w.grad).all()][:1]
        # Finite gradients can be so large that the sum of their squares is not.
        elsewhere = "in another process" if finite else "the norm of the gradients is too large for float32"
        raise DivergenceError(
            f"phase {phase.name!r} is no longer finite after {images_seen:,} images ({'; '.join(causes) or elsewhere}). Weights were not "
            f"moved. Try a smaller lr (now {self.settings.lr:g}), clip = 1, a stronger penalty, or precision = fp32 (now {self.precision})"
        )


def _refuse_other_role(model: nn.Module, settings: TrainSettings) -> None:
    """Raises SettingError if the objective does not train networks such as `model`."""
    role = settings.objective.role()
    if not isinstance(model, role):
        raise SettingError(
            f"objective = {family(settings.objective)} trains a {role.__name__}, and model = {family(settings.model)} is a "
            f"{type(model).__name__}; choose another objective or another model"
        )
