"""Optimizers of the phases, the learning rate, and the moving average of the weights."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.objectives.base import Phase
from sfumato.train.schedule import Schedule
from sfumato.train.settings import TrainSettings

_MATRIX = 32
"""Smallest number of rows and columns of a kernel for Muon. Narrower ones, as most last layers are, are left to Adam."""


class PhaseOptimizer:
    """The optimizers of one group of weights: Adam, and Muon for wide kernels if the settings say so."""

    def __init__(self, name: str, weights: list[nn.Parameter], settings: TrainSettings) -> None:
        self.name, self.weights, self.settings = name, weights, settings
        self.matrices = [(w, _matrix(w)) for w in weights if settings.optimiser == "muon" and _hidden(w)]
        taken = {id(w) for w, _ in self.matrices}
        kernels = [w for w in weights if w.ndim > 1 and id(w) not in taken]
        rest = [w for w in weights if w.ndim <= 1]
        groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        groups = [g for g in groups if g["params"]]
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        if groups:
            self.optimisers[name] = torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=1e-8, fused=True)
        if self.matrices:
            self.optimisers[f"{name}.muon"] = torch.optim.Muon(
                [matrix for _, matrix in self.matrices],
                lr=settings.lr,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="match_rms_adamw",  # steps as long as Adam's, so that lr means the same
            )

    def step(self, lr: float) -> None:
        """Takes a step of length `lr` along the gradients."""
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        for weight, matrix in self.matrices:
            matrix.grad = None if weight.grad is None else _rows(weight.grad)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state of the optimizers, by name."""
        states = {name: optimiser.state_dict()["state"] for name, optimiser in self.optimisers.items()}
        return {f"{name}.{i}.{key}": value for name, state in states.items() for i, slots in state.items() for key, value in slots.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restores the state that `tensors` returned."""
        for name, optimiser in self.optimisers.items():
            whole, state = optimiser.state_dict(), {}
            weights = [w for group in optimiser.param_groups for w in group["params"]]
            for path, value in tensors.items():
                owner, index, key = path.rsplit(".", 2)
                if owner == name:
                    # The fused step needs each tensor of the state in the memory layout of its weight, and writes to it.
                    like = weights[int(index)]
                    slot = torch.empty_like(like).copy_(value) if value.shape == like.shape else value.clone()
                    state.setdefault(int(index), {})[key] = slot
            optimiser.load_state_dict({**whole, "state": state})


def optimizers(phases: list[Phase], settings: TrainSettings) -> dict[str, PhaseOptimizer]:
    """The optimizer of each phase; phases over the same weights share one.

    Raises SettingError if the weights of two phases overlap without being the same, or if a phase has none.
    """
    distinct: list[PhaseOptimizer] = []
    result = {}
    for phase in phases:
        mine = set(map(id, phase.weights))
        if not mine:
            raise SettingError(f"phase {phase.name!r} moves no weights; let its weights be parameters of the network")
        same = [m for m in distinct if set(map(id, m.weights)) == mine]
        if not same:
            if any(mine & set(map(id, m.weights)) for m in distinct):
                raise SettingError(f"phase {phase.name!r} shares some of its weights with another; groups must be equal or disjoint")
            distinct.append(PhaseOptimizer(phase.name, phase.weights, settings))
            same = distinct[-1:]
        result[phase.name] = same[0]
    return result


def learning_rate(settings: TrainSettings, images_seen: int, schedule: Schedule | None = None) -> float:
    """The learning rate after `images_seen` images: a linear warmup, then a cosine from the peak to its end, over `schedule`."""
    schedule = schedule or Schedule(settings.images)
    rise = min(1.0, (images_seen - schedule.restart(images_seen) + settings.batch) / settings.lr_warmup) if settings.lr_warmup else 1.0
    fall = (1 + math.cos(math.pi * schedule.progress(images_seen))) / 2
    return settings.lr * rise * (settings.lr_end + (1 - settings.lr_end) * fall)


class Average:
    """An exponential moving average of a network; buffers are copied as they are."""

    def __init__(self, model: nn.Module, settings: TrainSettings) -> None:
        self.model, self.settings = copy.deepcopy(model).requires_grad_(False).eval(), settings

    @torch.no_grad()
    def follow(self, model: nn.Module, images_seen: int) -> None:
        """Moves the average towards `model` by the share of one batch, `images_seen` images after the start."""
        half_life = min(self.settings.ema, self.settings.ema_rampup * images_seen) if self.settings.ema_rampup else self.settings.ema
        keep = 0.5 ** (self.settings.batch / half_life) if half_life else 0.0
        lerp_all = torch._foreach_lerp_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        lerp_all(_list(self.model.parameters()), _list(model.parameters()), 1 - keep)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


def _list(weights: Iterable[nn.Parameter]) -> list[torch.Tensor]:
    return [w.detach() for w in weights]


def _hidden(weight: nn.Parameter) -> bool:
    return weight.ndim in (2, 4) and min(len(weight), weight[0].numel()) >= _MATRIX


def _matrix(weight: nn.Parameter) -> nn.Parameter:
    """The kernel as a matrix with a row for each output, in the same memory."""
    rows = _rows(weight.detach())
    assert rows.data_ptr() == weight.data_ptr(), "kernels lie in memory channels last"
    return nn.Parameter(rows)


def _rows(kernel: torch.Tensor) -> torch.Tensor:
    return kernel.permute(0, *range(2, kernel.ndim), 1).flatten(1)
