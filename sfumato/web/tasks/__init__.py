"""The work of the pages, done in a worker process by the public API: a function of plain values and of the folder for its files."""

import importlib
from collections.abc import Callable
from pathlib import Path

from sfumato.core.json_value import JsonObject

TASKS = {
    "catalogue": "listing",
    "diagnose": "restoring",
    "restore": "restoring",
    "generate": "generating",
    "dream": "dreaming",
    "layers": "dreaming",
    "compress": "compressing",
    "index": "searching",
    "search": "searching",
    "groups": "searching",
    "begin": "editing",
    "move": "editing",
    "drag": "editing",
    "project": "editing",
}
"""Each task, and the file of this room with the function of that name."""


def task(name: str) -> Callable[[JsonObject, Path], JsonObject]:
    """The function that does the task called `name`."""
    function: Callable[[JsonObject, Path], JsonObject] = getattr(importlib.import_module(f"{__name__}.{TASKS[name]}"), name)
    return function
