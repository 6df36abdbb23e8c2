"""A run on a terminal: one live line with images per second and time left; plain lines where there is no terminal."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from torch import nn

from sfumato.core.progress import clock
from sfumato.core.tensors import size_text
from sfumato.train.figures import Row
from sfumato.train.log import Callback
from sfumato.train.settings import TrainSettings, class_count
from sfumato.train.verdict import Verdict

SHOWN = (
    ("classify/accuracy", "accuracy {:.1%}"),
    ("validation/accuracy", "held out {:.1%}"),
    ("elbo/nats", "{:.1f} nats"),
    ("validation/nats", "held out {:.1f} nats"),
    ("discriminator/told_apart", "discriminator right {:.0%}"),
    ("generator/diversity", "diversity {:.2f}"),
    ("pulse/diversity_within", "within classes {:.2f}"),
)
"""The figures worth a place on the line, and how they read."""


class ProgressLine(Callback):
    """Draws the line of one run."""

    def __init__(self, console: Console, *, again: Callable[[Sequence[str]], str] | None = None) -> None:
        """`again` gives the command that trains anew with some flags changed."""
        self.console, self.again = console, again
        columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:3.0f}%"), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=False)
        self._task: TaskID | None = None
        self._first, self._began, self._speed, self._figures = 0, 0.0, 0.0, ""
        """Where the line began and when; images per second, and figures, of the last row of the log, if there was one."""
        self._latest: Row = {}

    def start(self, settings: TrainSettings, model: nn.Module, images_seen: int, device: torch.device, precision: str) -> None:
        weights = sum(w.numel() for w in model.parameters())
        of_one_size = getattr(settings.model, "size", None)
        size = f"squares of {settings.patch}" if settings.patch else size_text(of_one_size) if of_one_size else "pictures"
        classes = f", {class_count(settings) or 'no'} classes" if hasattr(settings.model, "classes") else ""
        channels = f", {count} channel{'s' * (count > 1)}" if (count := getattr(settings.model, "channels", None)) else ""
        going_on = ", complete" if images_seen >= settings.images else f", going on after {images_seen:,}" if images_seen else ""
        self.console.print(
            f"{settings.data}: {size} px{channels}{classes}; "
            f"{weights / 1e6:.2f} M weights on {device.type} in {precision}; {settings.images:,} images{going_on}",
            highlight=False,
            soft_wrap=True,
        )
        self._first, self._began, self._speed, self._figures = images_seen, time.perf_counter(), 0.0, ""
        self._latest = {}
        self._bar.start()
        self._task = self._bar.add_task("starting", total=settings.images, completed=images_seen)

    def step(self, images_seen: int, settings: TrainSettings) -> None:
        if self.console.is_terminal:
            speed = self._speed or (images_seen - self._first) / max(1e-9, time.perf_counter() - self._began)
            self._show(images_seen, settings.images, speed, max(0, settings.images - images_seen) / max(speed, 1e-9))

    def row(self, row: Row, settings: TrainSettings) -> None:
        self._speed = row["images_per_second"]
        # Figures of generated images come less often than lines do.
        self._latest |= {name: row[name] for name, _ in SHOWN if name in row}
        self._figures = "".join(f"  {figure(text, self._latest[name])}" for name, text in SHOWN if name in self._latest)
        self._show(row["images"], settings.images, self._speed, row["seconds_left"])

    def note(self, text: str) -> None:
        self.console.print(text, style="yellow", highlight=False, soft_wrap=True)

    def verdict(self, verdict: Verdict, settings: TrainSettings) -> None:
        self.console.print(str(verdict), style="yellow" if verdict.faults else "", highlight=False, soft_wrap=True)
        if changes := verdict.changes(settings):
            mended = self.again(changes) if self.again else " ".join(changes)
            self.console.print(f"this may help: {mended}", style="yellow", highlight=False, soft_wrap=True)

    def finish(self, images_seen: int, settings: TrainSettings, run: Path | None, *, interrupted: bool) -> None:
        self._bar.stop()
        if interrupted:
            kept = "saved; the same command goes on from here" if run else "nothing was kept, for there is no run folder"
            self.console.print(f"stopped after {images_seen:,} images; {kept}", style="yellow", highlight=False, soft_wrap=True)

    def _show(self, images: float, total: int, speed: float, seconds_left: float) -> None:
        line = f"{images:,.0f} images  {speed:,.{int(speed < 10)}f}/s  {clock(seconds_left)} left{self._figures}"
        if self.console.is_terminal and self._task is not None:
            self._bar.update(self._task, total=total, completed=images, description=line)
        else:
            self.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Gives the terminal back, whatever happened."""
        self._bar.stop()


def figure(text: str, value: float) -> str:
    """`text` with the value in its place, or a dash for a value that is not finite.

    >>> figure("diversity {:.2f}", 0.912), figure("diversity {:.2f}", float("nan"))
    ('diversity 0.91', 'diversity -')
    """
    return text.format(value) if math.isfinite(value) else f"{text.partition('{')[0]}-"
