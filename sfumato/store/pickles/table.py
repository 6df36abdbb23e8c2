"""A table of tensors by name, as `torch.save` writes it of most weights that people publish."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sfumato.core.errors import CheckpointError
from sfumato.store.pickles import torchfile
from sfumato.store.pickles.machine import Known
from sfumato.store.pickles.source import opened
from sfumato.store.pickles.tensors import STORAGES, TENSORS, Strided
from sfumato.store.pickles.values import DEEP, PLAIN

TABLE: Known = {**PLAIN, **TENSORS, **STORAGES, **torchfile.NESTED}
"""Every name that a table of tensors, and what a training run keeps beside it, may use."""


def table(path: Path, wrappers: Sequence[str] = ()) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors in `path` by name, and the file's SHA-256.

    Nothing of the file is run, and it takes at most twice its size and 8 MiB of memory.
    A table within a table is looked for under `wrappers`; the first of them that is there counts, and what else the file holds is left
    unread. Raises CheckpointError, naming what was asked for, if the file wants anything but plain data, and if it is damaged.
    """
    with opened(path) as source:
        held: Mapping[object, object] = torchfile.root(source, TABLE)
        for _ in range(DEEP):
            inner = next((value for name in wrappers if isinstance(value := held.get(name), dict)), None)
            if inner is None:
                break
            held = inner
        tensors = {str(name): value for name, value in held.items() if isinstance(value, Strided)}
        if not held or len(tensors) != len(held):
            raise CheckpointError(
                f"{path}: holds no table of named tensors; a training checkpoint must keep its weights under state_dict or params"
            )
        return {name: value.load(source) for name, value in tensors.items()}, source.digest()
