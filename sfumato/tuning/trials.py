"""The trainings of a search: a run of `train` with some settings, as long as the search gives it time, and its figure."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import torch
from torch import nn

from sfumato.core.device import select_device
from sfumato.core.errors import BudgetSpentError, CheckpointError, DataError, DivergenceError, SettingError
from sfumato.data.dataset import Dataset, Scenes
from sfumato.store.loaded import LoadedModel
from sfumato.store.weights import load
from sfumato.train.loop import fit
from sfumato.train.prepare import Source
from sfumato.train.samples import measure
from sfumato.train.settings import TrainSettings, resolve
from sfumato.tuning.goal import Goal
from sfumato.tuning.space import Value, with_values

Note = Callable[[str], None]
"""Takes a line for a person."""
VALIDATION = 0.1
"""Share of the images that is held out, for a recipe that holds out none."""
MOST = 1000
"""Held-out images that are measured; more would take time from the search."""


@runtime_checkable
class Runner(Protocol):
    """Trains with `values` in the run folder `run` until `seconds` are over, those of earlier calls included. Returns the figure.

    The figure is NaN if these values cannot be trained with, or if the run on disk cannot be continued. Raises KeyboardInterrupt if the
    run was interrupted; it is saved then.
    """

    def __call__(self, values: dict[str, Value], run: Path, seconds: float, *, seed: int | None = None) -> float: ...


@final
class Trainer:
    """The `Runner` of a recipe. Images are loaded once, and the same images, with the same degradations, measure all runs."""

    def __init__(
        self,
        settings: TrainSettings,
        *,
        goal: Goal,
        data: Dataset | Scenes | None = None,
        device: str = "auto",
        note: Note = lambda _: None,
    ) -> None:
        """`note` is called with the reason why a run failed.

        Raises SettingError if the objective measures nothing on held-out images, DataError if there are none.
        """
        if not settings.objective.validates:
            raise SettingError("tune needs an objective that measures held-out images; this recipe has none, as no GAN has")
        share = settings.validation or VALIDATION
        # The loop trains on the training part alone: the figure is measured here, outside of it, once and on the same images.
        self.settings = dataclasses.replace(settings, validation=0.0, images=1, budget="", grow=0, sample_every=10**12)
        everything = settings.objective.load(Source(self.settings)) if data is None else data
        self.data, held_out = everything.split(share, purpose="validation")
        if not len(held_out):
            raise DataError(f"{everything.name} has {len(everything)} images, of which none is held out; give more images")
        self._held_out = held_out.selected(_first(len(held_out), MOST))
        self._device, self._name, self._note = select_device(device), device, note
        self._measuring = resolve(self.settings, self.data)
        self.goal = goal.settled(self._figures())

    def __call__(self, values: dict[str, Value], run: Path, seconds: float, *, seed: int | None = None) -> float:
        try:
            settings = with_values(self.settings, values)
            own = settings.seed if seed is None else seed
            settings = dataclasses.replace(settings, seed=own, budget=f"{seconds:.3f}s", keep_paths=True)
            model = self._trained(settings, run)
        except (DivergenceError, CheckpointError) as error:
            return self._failed(run, error)
        except (SettingError, MemoryError, RuntimeError) as error:
            # The default has to work; of other settings a search may find that they do not.
            if values and (isinstance(error, SettingError) or _is_memory(error)):
                return self._failed(run, error)
            raise
        figures = measure(self._measuring, model.network, self._held_out, self._device)
        return self.goal.value({name.removeprefix("validation/"): float(value) for name, value in figures.items()})

    def _trained(self, settings: TrainSettings, run: Path) -> LoadedModel[nn.Module]:
        """The model of a run. A run that has taken the time of its budget already, such as on a machine that became slower, stays.

        Raises CheckpointError for a run that cannot be continued, such as one whose files are damaged; KeyboardInterrupt if it is
        interrupted.
        """
        try:
            model = fit(settings, run=run, data=self.data, device=self._name, finish=False)
        except BudgetSpentError:
            return load(run).to(self._device)
        if model.interrupted:
            raise KeyboardInterrupt
        return model

    def _failed(self, run: Path, error: Exception) -> float:
        """Notes in one line why a run failed; returns NaN, its figure."""
        self._note(f"the run {run.name} failed: {' '.join(str(error).split())}")
        return math.nan

    def _figures(self) -> list[str]:
        """The names of the figures of the objective, from a network that is not trained."""
        with torch.random.fork_rng(devices=[]), contextlib.suppress(NotImplementedError):
            network = self._measuring.model.build().to(self._device).eval()
            names = measure(self._measuring, network, self._held_out.selected(_first(len(self._held_out), 1)), self._device)
            return [name.removeprefix("validation/") for name in names]
        return []


def _first(count: int, most: int) -> torch.Tensor:
    """The choice of the first `most` of `count` images."""
    return torch.arange(count) < most


def _is_memory(error: Exception) -> bool:
    """Whether the memory did not suffice; torch names that in its message alone."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ("allocate memory", "out of memory"))
