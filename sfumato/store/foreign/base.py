"""Tensors out of a foreign file, without running anything that is in it."""

import hashlib
import pickle  # noqa: TID251  only for the name of its error
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sfumato.core.errors import CheckpointError
from sfumato.store.found import Found, Tensors

__all__ = ["Found", "Tensors", "count", "read", "renamed"]

_CONTAINERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "ema")
_PREFIXES = ("module.", "netG.", "generator.", "model.module.")


def read(path: Path) -> tuple[Tensors, str]:
    """The tensors in a .safetensors, .pth or .pt file, by name, and the file's SHA-256.

    Only tensors and the containers that they come in are read; a file that asks for anything else is refused, and nothing of it runs.
    Wrappers (`params_ema`, `state_dict`) and prefixes that all names share (`module.`) are taken off. Raises CheckpointError.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        if path.suffix == ".safetensors":
            tree: Any = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # about old pickles, which are read or refused all the same
                tree = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  tensors alone: anything else raises
    except (SafetensorError, pickle.UnpicklingError) as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}, which is code" if asked else "it does what a table of tensors never needs"
        raise CheckpointError(f"{path}: refused, nothing of it was run: {reason}") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: damaged, or not a file of weights ({' '.join(str(error).split())[:160]})") from error
    return _bare(tree, path), digest


def _bare(tree: Any, path: Path) -> Tensors:
    while isinstance(tree, Mapping):
        inner = next((tree[name] for name in _CONTAINERS if isinstance(tree.get(name), Mapping)), None)
        if inner is None:
            break
        tree = inner
    if not isinstance(tree, Mapping) or not tree or not all(isinstance(v, torch.Tensor) for v in tree.values()):
        raise CheckpointError(
            f"{path}: holds no table of named tensors; a training checkpoint must keep its weights under state_dict or params"
        )
    tensors = {str(name): value for name, value in tree.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def renamed(tensors: Tensors, *rules: tuple[str, str]) -> Tensors | None:
    """`tensors` with each name rewritten by the first rule (pattern, replacement) that fits it whole; None if one fits none."""
    state = {}
    for name, value in tensors.items():
        new = next((re.sub(pattern, to, name) for pattern, to in rules if re.fullmatch(pattern, name)), None)
        if new is None:
            return None
        state[new] = value
    return state


def count(tensors: Tensors, pattern: str) -> int:
    """How many numbers stand in the place of the group of `pattern`, if they are 0 to n - 1; else 0."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(pattern, name))}
    return len(numbers) if numbers == set(range(len(numbers))) else 0
