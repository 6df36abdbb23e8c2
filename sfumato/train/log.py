"""The log of a run: log.jsonl and TensorBoard events, and the callbacks of a training."""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import nn

from sfumato.core import atomic_io, schema
from sfumato.core.errors import FormatError
from sfumato.core.tensors import Images, to_pixels
from sfumato.io.files import save_image
from sfumato.train.events import Events
from sfumato.train.settings import TrainSettings

if TYPE_CHECKING:
    from sfumato.train.verdict import Verdict
from sfumato.train.figures import Row


class Line(TypedDict):
    """The part of a line of log.jsonl that is read again."""

    images: schema.Finite


class Callback:
    """Listener of a training, whose methods do nothing. The command line has one that draws a progress line."""

    def start(self, settings: TrainSettings, model: nn.Module, images_seen: int, device: torch.device, precision: str) -> None:
        """Training begins, or goes on after `images_seen` images."""

    def step(self, images_seen: int, settings: TrainSettings) -> None:
        """A step has ended; `images_seen` images have been seen."""

    def row(self, row: Row, settings: TrainSettings) -> None:
        """A line of the log: `images`, `seconds`, `images_per_second`, `seconds_left`, and the phases' figures."""

    def note(self, text: str) -> None:
        """A sentence for a person."""

    def verdict(self, verdict: "Verdict", settings: TrainSettings) -> None:
        """The verdict of the training monitor on a complete run."""

    def finish(self, images_seen: int, settings: TrainSettings, run: Path | None, *, interrupted: bool) -> None:
        """Training has ended, or was interrupted and saved."""


class RunLog:
    """log.jsonl, TensorBoard events and sample sheets in `run`, while it is open, and the clock of the run.

    On resume, lines past `images_seen` images are cut off.
    """

    def __init__(self, run: Path | None, *, images_seen: int, elapsed: float) -> None:
        self.run, self._images_seen, self._start, self._before, self._tensorboard = run, images_seen, time.perf_counter(), elapsed, None
        self._last = (images_seen, self.elapsed)

    def __enter__(self) -> "RunLog":
        if self.run is None:
            return self
        self._path = self.run / "log.jsonl"
        with atomic_io.storing(self._path):
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.exists() else []
            atomic_io.write(self._path, "".join(f"{line}\n" for line in lines if _images(line) <= self._images_seen))
        with atomic_io.storing(self.run / "tensorboard"):
            self._tensorboard = Events(self.run / "tensorboard", purge=self._images_seen + 1 if self._images_seen else None)
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the events of TensorBoard; after an error, failures of that are ignored."""
        if self.run is not None and self._tensorboard is not None:
            with contextlib.suppress(OSError) if exception[0] else atomic_io.storing(self.run / "tensorboard"):
                self._tensorboard.close()

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._before + time.perf_counter() - self._start

    def rewind(self, images_seen: int) -> None:
        """Notes that the run goes back to the state after `images_seen` images."""
        self._last = (images_seen, self.elapsed)

    def row(self, figures: Row, images_seen: int, settings: TrainSettings) -> Row:
        """Adds the clock to `figures`, writes them, and returns them."""
        images, then = self._last
        speed = (images_seen - images) / max(1e-9, self.elapsed - then)
        self._last = (images_seen, self.elapsed)
        clock = {
            "images": images_seen,
            "seconds": round(self.elapsed, 2),
            "images_per_second": round(speed, 1),
            "seconds_left": round(max(0, settings.images - images_seen) / max(speed, 1e-9), 1),
        }
        row = {**clock, **{name: round(value, 6) for name, value in figures.items()}}
        self._append(row)
        if self.run is not None and self._tensorboard is not None:
            with atomic_io.storing(self.run / "tensorboard"):
                for name, value in row.items():
                    if math.isfinite(value):
                        self._tensorboard.scalar(name, value, images_seen)
                self._tensorboard.flush()
        return row

    def note(self, text: str, images_seen: int) -> None:
        """Writes a sentence, with the number of images seen."""
        self._append({"images": images_seen, "note": text})

    def picture(self, images: Images | None, images_seen: int) -> None:
        """Writes a sheet in samples/ and in TensorBoard."""
        if self.run is None or images is None or self._tensorboard is None:
            return
        pixels = to_pixels(images, columns=8 if len(images) < 64 else 16)
        save_image(self.run / "samples" / f"{images_seen:09d}.png", pixels)
        with atomic_io.storing(self.run / "tensorboard"):
            self._tensorboard.image("samples", pixels, images_seen)

    def _append(self, row: Mapping[str, object]) -> None:
        if self.run is not None:
            plain = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
            with atomic_io.storing(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain) + "\n")


def _images(line: str) -> float:
    """Images seen of a line of the log; infinity if the line was cut short by a crash, or is no line of a log."""
    try:
        return schema.parsed(line, Line, "a line of the log")["images"]
    except FormatError:
        return math.inf
