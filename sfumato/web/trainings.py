"""Trainings that the studio started: each is a process of its own, `sfumato train`, with a run folder.

A training goes on if the page is closed, and if the studio ends: the run folder names its process (studio.json), and all that is shown is
read from the folder. The same start again continues a training that was stopped.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from sfumato.core import atomic_io, schema
from sfumato.core.errors import FormatError, SettingError
from sfumato.core.json_value import Json
from sfumato.core.text import quoted
from sfumato.web.places import new_run_folder

RECORD, LOG = "studio.json", "studio.log"
_LAST = 2000
"""Lines of a log that are drawn at most."""
_BUDGET = re.compile(r"\d{1,6}(\.\d{1,3})?(s|min|h)")
_CLOCK = frozenset({"images", "seconds", "images_per_second", "seconds_left"})


class Record(TypedDict):
    """The content of studio.json."""

    process: int
    command: list[str]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is, by its run folder."""

    name: str
    running: bool
    complete: bool
    images: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    curves: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)
    """For each figure its values as (images seen, value)."""
    sample: Path | None = None
    """The newest sheet of samples."""
    words: str = ""
    """The last lines that the process wrote, such as an error."""


class Trainings:
    """The trainings below one folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def names(self) -> list[str]:
        """The runs that a studio has started, the newest first."""
        if not self.runs.is_dir():
            return []
        records = [path for path in self.runs.glob(f"*/{RECORD}") if path.is_file()]
        return [path.parent.name for path in sorted(records, key=lambda path: -path.stat().st_mtime)]

    def start(self, name: str, recipe: str, data: str, *, budget: str = "", threads: int | None = None, more: Sequence[str] = ()) -> Path:
        """Starts a training, or continues it; returns its run folder. `more` are further flags of `sfumato train`.

        Raises SettingError for a name that is no folder's, and for a training that runs already.
        """
        folder = new_run_folder(self.runs, name)
        if budget and not _BUDGET.fullmatch(budget):
            raise SettingError(f"budget = {quoted(budget)} is no time; write 90s, 10min or 2h")
        if self.progress(name).running:
            raise SettingError(f"the training {name} runs already; stop it first, or choose another name")
        words = [recipe, "--data", data, "--out", str(folder), *(["--budget", budget] if budget else []), *more]
        command = [sys.executable, "-m", "sfumato", "train", *words, *(["--threads", str(threads)] if threads else [])]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("wb") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._children[name] = child
        atomic_io.write(folder / RECORD, json.dumps({"process": child.pid, "command": command}) + "\n")
        return folder

    def stop(self, name: str) -> bool:
        """Asks a training to save its state and to end; returns whether it was running. `start` continues it."""
        folder = new_run_folder(self.runs, name)
        process = self._process(folder)
        if process is None:
            return False
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGTERM)
        return True

    def progress(self, name: str) -> Progress:
        """How far the training called `name` is."""
        folder = new_run_folder(self.runs, name)
        rows = _rows(folder / "log.jsonl")
        last = next((row for row in reversed(rows) if "seconds" in row), {})
        samples = sorted((folder / "samples").glob("*.png"))
        running = self._process(folder) is not None
        return Progress(
            name=name,
            running=running,
            complete=not running and (folder / "model.safetensors").is_file() and _total(folder) <= _number(last, "images"),
            images=int(_number(last, "images")),
            total=_total(folder),
            seconds=_number(last, "seconds"),
            seconds_left=_number(last, "seconds_left") if running and last else None,
            curves=_curves(rows),
            sample=samples[-1] if samples else None,
            words=_last_words(folder / LOG),
        )

    def _process(self, folder: Path) -> int | None:
        """The number of the process that trains in the folder; None if there is none any more."""
        child = self._children.get(folder.name)
        if child is not None:
            return child.pid if child.poll() is None else None
        try:
            record = schema.read(folder / RECORD, Record)
        except FormatError:
            return None
        return record["process"] if _is_training(record["process"], folder) else None


def _is_training(process: int, folder: Path) -> bool:
    """Whether the process of this number is a training in the folder, and not another program that has got the number since."""
    if process <= 1:
        return False
    line = Path(f"/proc/{process}/cmdline")
    try:
        os.kill(process, 0)
        if not line.parent.parent.joinpath("self").exists():
            return True  # a system without /proc
        words = line.read_bytes().split(b"\0")
    except OSError:
        return False
    return b"train" in words and os.fsencode(str(folder)) in words


def _rows(path: Path) -> list[Mapping[str, Json]]:
    """The last lines of a log that are whole."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST:]
    except OSError:
        return []
    rows = []
    for line in lines:
        with contextlib.suppress(FormatError):
            rows.append(schema.parsed_object(line, "a line of the log"))
    return rows


def _number(row: Mapping[str, Json], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _curves(rows: Sequence[Mapping[str, Json]]) -> dict[str, list[tuple[float, float]]]:
    """The figures of the log by name, without those of the clock."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in _CLOCK and isinstance(value, int | float):
                curves.setdefault(name, []).append((_number(row, "images"), float(value)))
    return curves


def _total(folder: Path) -> int:
    """The length of the run in images; 0 before it is decided."""
    with contextlib.suppress(FormatError):
        return int(_number(schema.read_object(folder / "settings.json"), "images"))
    return 0


def _last_words(path: Path) -> str:
    """The last lines of the file, at most five."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-5:])
    except OSError:
        return ""
