"""The arguments of one call of `fit`, for the functions that prepare and run the training."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sfumato.data.dataset import Dataset, Scenes
from sfumato.train.distributed import World
from sfumato.train.log import Callback
from sfumato.train.settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """The arguments of a call of `fit`, and the processes and the device of the training."""

    settings: TrainSettings
    """The settings as the caller gave them, with open ones still open."""
    run: Path | None
    """The run folder; None keeps nothing on disk."""
    data: Dataset | Scenes | None
    """The images to train on; None loads those that `settings.data` names."""
    watch: Callback
    world: World
    device: torch.device
    began: float
    """Value of time.perf_counter() at the start of the budget."""

    finish: bool = True
    """Whether the objective completes the network at the end of the run."""

    def spent(self) -> float:
        """Seconds since `began`, the largest number of all processes."""
        return self.world.agree(time.perf_counter() - self.began)
