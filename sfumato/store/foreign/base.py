"""Tensors out of a foreign file, without running anything that is in it."""

import functools
import math
import re
from pathlib import Path
from typing import TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sfumato.core.atomic_io import sha256
from sfumato.core.errors import CheckpointError
from sfumato.store import matconvnet, pickles, unsupported
from sfumato.store.recognized import RecognizedWeights, Tensors

__all__ = ["Distilled", "RecognizedWeights", "Tensors", "count", "distilled", "enlargement", "read", "renamed", "zero_based"]

_CONTAINERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "ema")
_LARGEST = 1 << 29
"""Most bytes that are read of a MATLAB file; a longer one is cut off, which is said."""
_PREFIXES = ("module.", "netG.", "generator.", "model.module.")


def read(path: Path) -> tuple[Tensors, str]:
    """The tensors in a file of safetensors, of torch or of MATLAB, whatever it is called, by name, and the file's SHA-256.

    Only tensors and the containers that they come in are read; a file that asks for anything else is refused, and nothing of it runs.
    Wrappers (`params_ema`, `state_dict`) and prefixes that all names share (`module.`) are taken off. Raises CheckpointError.
    """
    unsupported.check_importable(path)
    if unsupported.is_matlab(path):
        return _matlab(path)
    tensors, digest = _safe(path) if unsupported.is_safetensors(path) else pickles.table(path, _CONTAINERS)
    tensors = _bare(tensors)
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}, digest


def _matlab(path: Path) -> tuple[Tensors, str]:
    try:
        with path.open("rb") as file:
            digest = sha256(file)
            file.seek(0)
            return matconvnet.table(path, file.read(_LARGEST)), digest
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error


def _safe(path: Path) -> tuple[Tensors, str]:
    try:
        with path.open("rb") as file:
            return load_file(path), sha256(file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged, or not a file of weights ({' '.join(str(error).split())[:160]})") from error


def _bare(tensors: Tensors) -> Tensors:
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def renamed(tensors: Tensors, *rules: tuple[str, str]) -> Tensors | None:
    """`tensors` with each name rewritten by the first rule (pattern, replacement) that fits it whole; None if one fits none."""
    state, compiled = {}, [(_compiled(pattern), to) for pattern, to in rules]
    for name, value in tensors.items():
        new = next((match.expand(to) for pattern, to in compiled if (match := pattern.fullmatch(name))), None)
        if new is None:
            return None
        state[new] = value
    return state


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """All families together have more patterns than `re` keeps."""
    return re.compile(pattern)


def count(tensors: Tensors, pattern: str) -> int:
    """How many numbers stand in the place of the group of `pattern`, if they are 0 to n - 1; else 0."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(pattern, name))}
    return len(numbers) if numbers == set(range(len(numbers))) else 0


def zero_based(tensors: Tensors, pattern: str) -> Tensors:
    """`tensors` with the numbers in the groups of `pattern`, which count from one at the beginning of a name, counted from zero."""

    def lowered(match: re.Match[str]) -> str:
        text, start = match[0], match.start()
        for group in range(len(match.groups()), 0, -1):
            if match[group] is not None:
                first, last = match.start(group) - start, match.end(group) - start
                text = f"{text[:first]}{int(match[group]) - 1}{text[last:]}"
        return text

    return {re.sub(rf"^(?:{pattern})", lowered, name): value for name, value in tensors.items()}


def enlargement(last: torch.Tensor, channels: int) -> int | None:
    """How many times a pixel shuffle after a convolution with weight `last` enlarges images of `channels`; None if it cannot."""
    scale = math.isqrt(len(last) // channels)
    return scale if last.ndim == 4 and scale and len(last) == channels * scale**2 else None


class Distilled(TypedDict):
    """The settings of a network of distillation blocks."""

    channels: int
    width: int
    blocks: int
    scale: int


def distilled(state: Tensors) -> Distilled | None:
    """The settings of distillation blocks between the layers `head`, `gather` and a pixel shuffle `tail`; None if the shapes do not fit."""
    if not {"head.weight", "gather.weight", "tail.weight"} <= state.keys():
        return None
    width, channels = state["head.weight"].shape[:2]
    joined, scale = state["gather.weight"].shape[1], enlargement(state["tail.weight"], channels)
    if joined % width or scale is None:
        return None
    return {"channels": channels, "width": width, "blocks": joined // width, "scale": scale}
