"""One training step: every phase that is due, on one batch. Everything in it is a function of the weights and of images seen."""

import copy

import torch
from torch import nn

from sfumato.core import chance, runtime
from sfumato.core.errors import DivergenceError
from sfumato.data import augment
from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream
from sfumato.objectives.base import Batch, Phase
from sfumato.train.distributed import World
from sfumato.train.optim import Average, learning_rate, movers
from sfumato.train.settings import TrainSettings


class Trainee:
    """A network in training: its weights, their average, and what moves them."""

    def __init__(self, settings: TrainSettings, data: Dataset, world: World, device: torch.device) -> None:
        self.settings, self.world, self.device = settings, world, device
        self.share = world.share(settings.batch)
        self.precision = runtime.precision(settings.precision, device)
        torch.manual_seed(chance.derive(settings.seed, "weights"))
        self.model: nn.Module = settings.model.build().to(device=device, memory_format=torch.channels_last).train()
        self.average = Average(self.model, settings)
        self.phases: list[Phase] = settings.objective.phases(self.model)
        self.movers = movers(self.phases, settings)
        self.stream = Stream(data, batch=settings.batch, seed=settings.seed, device=device)

    def step(self, seen: int) -> dict[str, torch.Tensor]:
        """Trains on the batch after `seen` images and returns the phases' figures.

        Raises DivergenceError if one is not finite, before the weights of that phase are moved.
        """
        torch.manual_seed(chance.derive(self.settings.seed, "layers", self.world.rank, seen))
        batch = self._batch(seen)
        figures: dict[str, torch.Tensor] = {}
        for phase in self.phases:
            if (seen // self.settings.batch) % phase.every:
                continue
            losses = self._descend(phase, batch, seen)
            figures |= {f"{phase.name}/{name}": value.detach() for name, value in losses.items()}
        if self.settings.ema:
            self.average.follow(self.model, seen)
        return figures

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a later process needs to go on exactly."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.model.state_dict().items()}
        for mover in set(self.movers.values()):
            state |= {f"mover.{k}": v for k, v in mover.tensors().items()}
        return state

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes back what `tensors` gave."""

        def below(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(below("model."))
        self.average.model.load_state_dict(below("average."))
        for mover in set(self.movers.values()):
            mover.restore(below("mover."))

    def best(self) -> nn.Module:
        """A copy of the network to use: the average if there is one, else the raw weights."""
        return copy.deepcopy(self.average.model if self.settings.ema else self.model).requires_grad_(False).eval()

    def _batch(self, seen: int) -> Batch:
        rng = chance.generator(self.settings.seed, "batch", seen)
        clean, labels = self.stream.at(seen, self.share)
        labels = labels if self.settings.model.classes else None
        progress = min(1.0, seen / self.settings.images)
        batch = Batch(
            clean=clean, degraded=clean, labels=labels, rng=rng, seen=seen, progress=progress, part=self.world.rank, parts=self.world.size
        )
        if not self.settings.augment.active:
            return batch
        clean = self.settings.augment(clean, batch.uniform(augment.DRAWS))
        return Batch(**{**vars(batch), "clean": clean, "degraded": clean})

    def _descend(self, phase: Phase, batch: Batch, seen: int) -> dict[str, torch.Tensor]:
        # Freeze what this phase does not move: its gradients would be thrown away.
        self.model.requires_grad_(False)
        for weight in phase.weights:
            weight.requires_grad_(True).grad = None

        # Loss and gradients.
        with runtime.autocast(self.precision, self.device):
            losses = phase.loss(batch)
        losses["total"].backward()
        self.world.average_gradients(phase.weights)

        # Refuse what is not a number.
        self._guard(phase, losses, seen)
        self.movers[phase.name].step(learning_rate(self.settings, seen))
        return losses

    def _guard(self, phase: Phase, losses: dict[str, torch.Tensor], seen: int) -> None:
        gradients = [w.grad for w in phase.weights if w.grad is not None]
        norms = torch._foreach_norm  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        norm = torch.stack(norms(gradients)).sum() if gradients else losses["total"].detach()
        healthy = bool(torch.isfinite(losses["total"].detach() + norm))
        if self.world.agree(0.0 if healthy else 1.0) == 0.0:
            return
        bad = [f"{name} = {value.item()}" for name, value in losses.items() if not torch.isfinite(value)]
        names = {id(w): name for name, w in self.model.named_parameters()}
        bad += [f"the gradient of {names[id(w)]}" for w in phase.weights if w.grad is not None and not torch.isfinite(w.grad).all()][:1]
        raise DivergenceError(
            f"phase {phase.name!r} is no longer finite after {seen:,} images ({'; '.join(bad) or 'another process'}). Weights were not "
            f"moved. Try a smaller lr (now {self.settings.lr:g}), clip = 1, a stronger penalty, or precision = fp32 (now {self.precision})"
        )
