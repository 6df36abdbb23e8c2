"""Speeds of trainings, kept between runs: the next run with the same settings on this machine need not measure its speed.

They are in one small file, `speeds.json` in the cache (`SFUMATO_CACHE`, or ~/.cache/sfumato). Only the first plan of a budget depends on
it: a file that cannot be read is ignored, and one that cannot be written is left.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
from pathlib import Path

import torch

from sfumato.core import atomic_io
from sfumato.core.config import dump
from sfumato.core.device import select_precision
from sfumato.core.errors import StorageError
from sfumato.core.paths import cache_folder
from sfumato.train.deadline import Costs
from sfumato.train.settings import TrainSettings

KEPT = 200
"""Entries in the file; the oldest make room."""
DECISIVE = ("model", "objective", "data", "validation", "patch", "augment", "degrade", "batch", "by_class", "optimiser")
"""The settings that the speed depends on."""


def key(settings: TrainSettings, device: torch.device, processes: int) -> str:
    """The name under which the speed of such a run is kept: a digest of its settings and of the machine."""
    tree = dump(settings)
    machine = [platform.node(), platform.machine(), os.cpu_count(), torch.__version__, device.type, torch.get_num_threads(), processes]
    if device.type == "cuda":
        machine.append(torch.cuda.get_device_name(device))
    run = [tree[name] for name in DECISIVE] + [bool(settings.ema), bool(settings.clip), select_precision(settings.precision, device)]
    return hashlib.sha256(json.dumps([run, machine]).encode()).hexdigest()[:32]


def recall(name: str) -> Costs | None:
    """The times of the last run of that name; None if there was none."""
    entry = _read().get(name)
    names = {field.name for field in dataclasses.fields(Costs)}
    if not isinstance(entry, dict) or entry.keys() != names:
        return None
    if not all(isinstance(value, float) and 0 <= value < math.inf for value in entry.values()) or not entry["image"]:
        return None
    return Costs(**entry)


def remember(name: str, costs: Costs) -> None:
    """Keeps the times of a run."""
    if costs.image:
        entries = {key: value for key, value in _read().items() if key != name} | {name: dataclasses.asdict(costs)}
        newest = dict(list(entries.items())[-KEPT:])
        with contextlib.suppress(StorageError):
            atomic_io.write(_path(), json.dumps(newest, indent=1) + "\n")


def _path() -> Path:
    return cache_folder() / "speeds.json"


def _read() -> dict[str, object]:
    try:
        entries = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
