"""One training step: every phase that is due, on one batch. Everything in it is a function of the weights and of images seen."""

import copy
import dataclasses
import math

import torch
from torch import nn

from sfumato.core.config import family
from sfumato.core.device import autocast, channels_last, select_precision
from sfumato.core.errors import DivergenceError, SettingError
from sfumato.core.rng import Draws, derive_seed, seeded_generator
from sfumato.core.tensors import size_text, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream
from sfumato.degradations.base import intact
from sfumato.models.roles.restorer import Restorer
from sfumato.objectives.base import Batch, Phase
from sfumato.train.distributed import World
from sfumato.train.optim import Average, learning_rate, optimizers
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import TrainSettings, neighbours, repairs
from sfumato.train.transfer import begin


def damaged(batch: Batch, settings: TrainSettings) -> Batch:
    """`batch` with its images damaged as the settings have it."""
    damage = settings.degrade(intact(batch.clean), batch.draws)
    return dataclasses.replace(batch, degraded=damage.images, damage=damage)


class Trainee:
    """A network in training: its weights, their average, and what moves them."""

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
        """Unless it is `fresh`, `restore` follows, and what `settings.start` names is not asked for again.

        Without a `schedule` the plan is one of `settings.images`.
        """
        self.settings, self.world, self.device = settings, world, device
        self.schedule = schedule or Schedule(settings.images)
        self.pace = 1.0
        self.share = world.share(settings.batch)
        self.precision = select_precision(settings.precision, device)
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        self.model: nn.Module = channels_last(settings.model.build(), device).train()
        classes = data.classes if getattr(settings.model, "classes", 0) else ()
        self.origin = begin(self.model, settings.start, classes) if settings.start and fresh else {}
        if getattr(settings.objective, "freeze", 0) and "discriminator" in self.origin.get("missing", ()):
            raise SettingError(
                f"objective.freeze = {settings.objective.freeze} would keep random weights as they are: {settings.start} has no "
                "discriminator; start from a run's folder, or leave freeze at 0"
            )
        self.average = Average(self.model, settings)
        self.phases: list[Phase] = settings.objective.phases(self.model)
        self.movers = optimizers(self.phases, settings)
        self.memories = {phase.name: phase.memory.to(device) for phase in self.phases if phase.memory is not None}
        self.stream = Stream(
            data, batch=settings.batch, seed=settings.seed, device=device, patch=settings.patch, run_length=neighbours(settings)
        )
        self._fits()

    @property
    def cycle(self) -> int:
        """Steps until every phase has been due once."""
        return math.lcm(*(phase.every for phase in self.phases))

    def follow(self, change: Change) -> None:
        """Trains by another plan from now on."""
        self.schedule = self.schedule.changed(change)
        self.settings = dataclasses.replace(self.settings, images=self.schedule.images)

    def step(self, images_seen: int) -> dict[str, torch.Tensor]:
        """Trains on the batch after `images_seen` images and returns the phases' figures, those of the whole batch.

        Raises DivergenceError if one is not finite, before the weights of that phase are moved.
        """
        torch.manual_seed(derive_seed(self.settings.seed, "layers", self.world.rank, images_seen))
        batch = self._batch(images_seen)
        figures: dict[str, torch.Tensor] = {}
        for phase in self.phases:
            if (images_seen // self.settings.batch) % phase.every:
                continue
            losses = self._descend(phase, batch, images_seen)
            figures |= {f"{phase.name}/{name}": value.detach() for name, value in losses.items()}
        # What layers note of the images they see, each process of its share.
        self.world.average([buffer for buffer in self.model.buffers() if buffer.is_floating_point()])
        if self.settings.ema:
            self.average.follow(self.model, images_seen)
        self.world.average(list(figures.values()))
        return figures

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a later process needs to go on exactly."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.model.state_dict().items()}
        for mover in set(self.movers.values()):
            state |= {f"mover.{k}": v for k, v in mover.tensors().items()}
        for name, memory in self.memories.items():
            state |= {f"memory.{name}.{k}": v for k, v in memory.state_dict().items()}
        return state

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes back what `tensors` gave."""

        def below(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(below("model."))
        self.average.model.load_state_dict(below("average."))
        for mover in set(self.movers.values()):
            mover.restore(below("mover."))
        for name, memory in self.memories.items():
            # What an earlier release did not remember begins afresh.
            memory.load_state_dict({**memory.state_dict(), **below(f"memory.{name}.")})

    def best(self) -> nn.Module:
        """A copy of the network to use: the average if there is one, else the raw weights."""
        return copy.deepcopy(self.average.model if self.settings.ema else self.model).requires_grad_(False).eval()

    def _batch(self, images_seen: int) -> Batch:
        rng = seeded_generator(self.settings.seed, "batch", images_seen)
        clean, labels = self.stream.at(images_seen, self.share)
        labels = labels if getattr(self.settings.model, "classes", 0) else None
        progress = self.schedule.progress(images_seen)
        batch = Batch(
            clean=clean,
            degraded=clean,
            labels=labels,
            rng=rng,
            images_seen=images_seen,
            progress=progress,
            part=self.world.rank,
            parts=self.world.size,
        )
        if self.settings.augment.active:
            clean = self.settings.augment(clean, batch.uniform(self.settings.augment.draws))
            batch = dataclasses.replace(batch, clean=clean, degraded=clean)
        return damaged(batch, self.settings) if repairs(self.settings) else batch

    def _fits(self) -> None:
        """Raises SettingError if a network that repairs cannot take the squares that the stream cuts, or what becomes of them."""
        if not isinstance(self.model, Restorer):
            return
        h, w = self.stream.pixels.shape[2:]
        step = self.model.pad_multiple * self.model.scale
        if h % step or w % step:
            raise SettingError(
                f"patch: images of {size_text((h, w))} pixels cannot be used, the network wants sides that are multiples of {step}"
            )
        clean = to_images(self.stream.pixels[:1])
        try:
            seen = self.settings.degrade(intact(clean), Draws(rng=seeded_generator(0), count=1, device=self.device)).images
        except TypeError as error:
            raise SettingError(f"degrade: {family(self.settings.degrade)} is no degradation") from error
        if seen.shape[1] != clean.shape[1] or (seen.shape[2] * self.model.scale, seen.shape[3] * self.model.scale) != (h, w):
            raise SettingError(
                f"degrade makes {size_text(seen.shape[2:])} of {size_text((h, w))} pixels, the network enlarges by {self.model.scale}; "
                "let downsample and the model's scale agree"
            )

    def _descend(self, phase: Phase, batch: Batch, images_seen: int) -> dict[str, torch.Tensor]:
        # Freeze what this phase does not move: its gradients would be thrown away.
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

        # Refuse what is not a number.
        self._guard(phase, losses, images_seen)
        self.movers[phase.name].step(self.pace * learning_rate(self.settings, images_seen, self.schedule))
        return losses

    def _guard(self, phase: Phase, losses: dict[str, torch.Tensor], images_seen: int) -> None:
        gradients = [w.grad for w in phase.weights if w.grad is not None]
        norms = torch._foreach_norm  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        norm = torch.stack(norms(gradients)).sum() if gradients else losses["total"].detach()
        healthy = bool(torch.isfinite(losses["total"].detach() + norm))
        if self.world.agree(0.0 if healthy else 1.0) == 0.0:
            return
        terms = losses if not torch.isfinite(losses["total"]) else {}  # otherwise the other figures are not the cause
        bad = [f"{name} = {value.item()}" for name, value in terms.items() if not torch.isfinite(value)]
        names = {id(w): name for name, w in self.model.named_parameters()}
        bad += [f"the gradient of {names[id(w)]}" for w in phase.weights if w.grad is not None and not torch.isfinite(w.grad).all()][:1]
        # Finite gradients can be so large that the sum of their squares is not.
        elsewhere = "in another process" if healthy else "the norm of the gradients is too large for float32"
        raise DivergenceError(
            f"phase {phase.name!r} is no longer finite after {images_seen:,} images ({'; '.join(bad) or elsewhere}). Weights were not "
            f"moved. Try a smaller lr (now {self.settings.lr:g}), clip = 1, a stronger penalty, or precision = fp32 (now {self.precision})"
        )
