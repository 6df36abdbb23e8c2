"""A trainee in the doctor's care: what is said is passed on, and a run that is sent back finds the last state in which it was well."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sfumato.core.errors import CheckpointError, DivergenceError
from sfumato.store import checkpoint
from sfumato.train.doctor import Doctor
from sfumato.train.samples import health
from sfumato.train.step import Trainee


class Recovery:
    """The doctor of a trainee, and a copy of all that the trainee was when it was last well."""

    def __init__(self, trainee: Trainee) -> None:
        self.trainee, self.doctor = trainee, Doctor(acts=trainee.settings.doctor == "act")
        self.sent_back, self.why = False, ""
        """Whether the run is to go back, and what there is to say of it."""
        self._seen, self._tensors = 0, dict[str, torch.Tensor]()

    def step(self, images_seen: int) -> dict[str, torch.Tensor]:
        """One step, and its figures. One that diverges sends the run back, if the doctor may act, and has no figures."""
        try:
            figures = self.trainee.step(images_seen)
        except DivergenceError as error:
            if not self.doctor.acts:
                raise
            self.sent_back, self.why = True, self.doctor.send_back(str(error))
            return {}
        self.doctor.figures.add(figures)
        return figures

    def look(self) -> dict[str, torch.Tensor]:
        """Figures of a few generated images, which the doctor hears too."""
        pulse = health(self.trainee)
        self.doctor.figures.add(pulse)
        return pulse

    def visit(self, say: Callable[[list[str]], None], *, images_seen: int) -> None:
        """The doctor looks at what was heard since the last visit, and may send the run back."""
        progress = self.trainee.schedule.progress(images_seen)
        said, self.sent_back = self.doctor.visit(self.trainee.memories, self.trainee.world, progress=progress)
        if self.sent_back:
            *said, self.why = said
        say(said)

    def go_back(self) -> int:
        """Gives the trainee what it was when it was last well, and smaller steps; returns after how many images that was."""
        self.sent_back = False
        self.trainee.restore({name: t.to(self.trainee.device) for name, t in self._tensors.items()})
        self.trainee.pace = self.doctor.pace
        return self._seen

    def keep(self, images_seen: int) -> None:
        """Remembers the trainee as it is, if it is well."""
        if self.doctor.acts and self.doctor.well:
            self._seen, self._tensors = images_seen, {name: t.detach().cpu().clone() for name, t in self.trainee.tensors().items()}

    def save(self, images_seen: int, path: Path) -> dict[str, Any]:
        """What the state of the run after `images_seen` images must say of it; writes to `path` what was kept if that is not this state."""
        if self.doctor.acts and self._seen != images_seen:
            checkpoint.write_tensors(path, self._tensors, {"seen": self._seen})
        return {"doctor": self.doctor.state(), "well": self._seen}

    def load(self, info: dict[str, Any], tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Takes back what `save` gave, beside the `tensors` of the state. Raises CheckpointError if `path` is needed and not whole."""
        self.doctor.restore(info["doctor"])
        self.trainee.pace = self.doctor.pace
        if self.doctor.acts:
            self._seen, kept = info["well"], {"seen": info["seen"]}
            self._tensors = tensors
            if info["well"] != info["seen"]:
                self._tensors, kept = checkpoint.read_tensors(path)
            if kept["seen"] != info["well"]:
                raise CheckpointError(f"{path} is of {kept['seen']:,} images, not of {info['well']:,}; choose another folder with --out")
