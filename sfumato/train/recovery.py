"""A trainee with its training monitor: a run that is sent back is restored to the last state without a fault."""

from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.core import schema
from sfumato.core.errors import CheckpointError, DivergenceError
from sfumato.store import checkpoint
from sfumato.train.doctor import Doctor
from sfumato.train.samples import health
from sfumato.train.step import Trainee
from sfumato.train.stored import KeptState, State


class Recovery:
    """The doctor of a trainee, and a copy of the last state of the trainee without a fault."""

    def __init__(self, trainee: Trainee) -> None:
        self.trainee, self.doctor = trainee, Doctor(acts=trainee.settings.doctor == "act")
        self.sent_back, self.why = False, ""
        """Whether the run is to go back, and the reason."""
        self._images_seen, self._tensors = 0, dict[str, torch.Tensor]()

    def step(self, images_seen: int) -> dict[str, torch.Tensor]:
        """Takes a step and returns its figures. A step that diverges sends the run back, if the doctor may act, and has no figures."""
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
        """Figures of a few generated images, which the doctor gets too."""
        pulse = health(self.trainee)
        self.doctor.figures.add(pulse)
        return pulse

    def visit(self, say: Callable[[list[str]], None], *, images_seen: int) -> None:
        """Lets the doctor examine the figures since the last visit. `say` takes sentences for the log. The run may be sent back."""
        progress = self.trainee.schedule.progress(images_seen)
        sentences, self.sent_back = self.doctor.visit(self.trainee.memories, self.trainee.world, progress=progress)
        if self.sent_back:
            *sentences, self.why = sentences
        say(sentences)

    def go_back(self) -> int:
        """Restores the last state without a fault, and makes steps smaller. Returns the images seen of that state."""
        self.sent_back = False
        self.trainee.restore({name: t.to(self.trainee.device) for name, t in self._tensors.items()})
        self.trainee.pace = self.doctor.pace
        return self._images_seen

    def keep(self, images_seen: int) -> None:
        """Keeps a copy of the state of the trainee, if it has no fault."""
        if self.doctor.acts and self.doctor.well:
            self._images_seen, self._tensors = images_seen, {name: t.detach().cpu().clone() for name, t in self.trainee.tensors().items()}

    def save(self, images_seen: int, path: Path) -> dict[str, object]:
        """Entries for the header of the state after `images_seen` images. Writes the kept state to `path` if it is an earlier one."""
        if self.doctor.acts and self._images_seen != images_seen:
            checkpoint.write_tensors(path, self._tensors, {"seen": self._images_seen})
        return {"doctor": self.doctor.state(), "well": self._images_seen if self.doctor.acts else images_seen}

    def load(self, info: State, tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Restores the entries that `save` returned, with the `tensors` of the state. Raises CheckpointError if a file is not whole."""
        self.doctor.restore(info["doctor"])
        self.trainee.pace = self.doctor.pace
        if self.doctor.acts:
            self._images_seen, kept = info["well"], info["seen"]
            self._tensors = tensors
            if not info["well"] and not path.exists():  # older versions wrote 0 where the doctor only watched
                self._images_seen = kept
            elif info["well"] != info["seen"]:
                self._tensors, header = checkpoint.read_tensors(path)
                kept = schema.checked(header, KeptState, "its header")["seen"]
            if kept != self._images_seen:
                raise CheckpointError(f"{path} is of {kept:,} images, not of {self._images_seen:,}; choose another folder with --out")
