"""The folder of a run: its files, the settings that it was begun with, and the state from which it goes on."""

import dataclasses
import json
from pathlib import Path

from sfumato.core import atomic_io, schema
from sfumato.core.config import dump, parse, unregistered
from sfumato.core.errors import CheckpointError, FormatError, SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.data.dataset import Dataset, Scenes
from sfumato.store import checkpoint
from sfumato.store.migrate import FORMAT, upgraded_tree
from sfumato.train.recovery import Recovery
from sfumato.train.settings import TrainSettings, named
from sfumato.train.stored import State


def state_file(run: Path, name: str = "state") -> Path:
    """The file of the state of a run, or with another `name` a file beside it."""
    return run / "state" / f"{name}.safetensors"


def read_settings(path: Path) -> TrainSettings:
    """The settings in the file of a run, of this version or an earlier one. Raises SettingError, UnknownNameError or FormatError."""
    settings = parse(upgraded_tree(schema.read_object(path)))
    if not isinstance(settings, TrainSettings):
        raise FormatError("these are not the settings of a run")
    return settings


def write_settings(path: Path, settings: TrainSettings) -> None:
    """Writes the settings for `read_settings`, unless the file has them already. Raises StorageError."""
    text = json.dumps({"format": FORMAT, **dump(settings)}, indent=2) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        atomic_io.write(path, text)


def earlier_settings(run: Path | None) -> TrainSettings | None:
    """The settings of the run in the folder; None for an empty or new folder.

    Raises CheckpointError if the folder has no settings and files that training would write over, or a model without a state.
    """
    if run is None:
        return None
    begun, others = (run / "settings.json").exists(), ("model.safetensors", "log.jsonl", "samples", "state")
    if there := next((name for name in others if not begun and (run / name).exists()), None):
        raise CheckpointError(f"{run} holds {there} of something that is no run of sfumato; choose another folder with --out")
    if not begun:
        return None
    if (run / "model.safetensors").exists() and not state_file(run).exists():
        raise CheckpointError(f"{run} holds a model, but no longer the state to go on from; choose another folder with --out")
    try:
        return read_settings(run / "settings.json")
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{run / 'settings.json'} cannot be read ({error}); choose another folder with --out") from error


def check_same(earlier: TrainSettings | None, settings: TrainSettings, run: Path | None) -> None:
    """Raises CheckpointError, naming the first difference, if the folder holds a run of other settings.

    The place of the images makes no difference: a run folder has their names alone, and their fingerprint shows whether they are the same.
    A doctor may begin to act, or only watch from now on.
    """
    if earlier is None:
        return
    there, here = (dataclasses.replace(named(each), keep_paths=False, doctor="watch") for each in (earlier, settings))
    if there == here:
        return
    old, new = _flat(dump(there)), _flat(dump(here))
    name = next(k for k in [*old, *new] if old.get(k) != new.get(k))
    raise CheckpointError(
        f"{run} holds a run with other settings: {name} = {old.get(name)!r} there, {new.get(name)!r} in this command; choose another "
        f"folder, as in --out {run}-2"
    )


def refuse_lost(requested: TrainSettings, run: Path) -> None:
    """Raises SettingError if a new process could not load the files of a run: files name families of the package and of plug-ins alone."""
    if reason := unregistered(requested):
        raise SettingError(
            f"{reason}; otherwise no process could load the files in {run} (docs/plugins.md). "
            "Without a run folder (run=None) it is trained in memory"
        )


def go_on(recovery: Recovery, run: Path | None, data: Dataset | Scenes) -> tuple[int, float]:
    """Restores the state in the folder, if there is one. Returns the images seen and the seconds of training until then."""
    path = state_file(run) if run else None
    if run is None or path is None or not path.exists():
        recovery.keep(0)
        return 0, 0.0
    tensors, info = checkpoint.read_tensors(path)
    if isinstance(fingerprint := info.get("data", data.fingerprint), str) and fingerprint != data.fingerprint:
        raise CheckpointError(
            f"{run} was trained on other images, or with other labels, than {data.name} now holds; choose another folder with --out"
        )
    try:
        state = schema.checked(info, State, "its header")
        recovery.trainee.restore(tensors)
        recovery.load(state, tensors, state_file(run, "well"))
        recovery.trainee.origin = state["origin"]
        return state["seen"], state["elapsed"]
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not the state of this run ({reason}); choose another folder with --out") from error


def _flat(tree: Json, path: str = "") -> JsonObject:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{path}.{key}".strip(".")).items()}
