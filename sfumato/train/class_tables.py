"""The weights of a network that was trained on some classes, for a network of the same family on others, or on none.

Which weights belong to classes is read from the shapes that the family takes with one class more and with none. Tables with a row for
each class keep the rows of classes of the same name; the rows of others begin afresh. A layer that takes a latent and a label loses
or gains the columns of the label: they begin at zero, so that at first a network draws for every label what it drew without any.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.nn.style import Dense

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of the classes."""

    before: int
    """Classes that the weights were trained on; 0 for none."""
    after: int
    """Classes of the network that they are for."""
    kept: int
    """Classes of it that were among the former, by their names."""

    def __str__(self) -> str:
        if not self.before:
            return f"the tables of {self.after} classes begin afresh: the weights knew none (--model.classes 0 ignores those of the data)"
        if not self.after:
            return f"the tables of {self.before} classes are left out: the data has none, or they are ignored"
        if not self.kept:
            return f"the tables of {self.before} classes begin afresh: the data has {self.after} others"
        if self.kept < self.after:
            kept, fresh = self.kept, self.after - self.kept
            return f"{kept} of the {self.after} classes keep their tables; the other {fresh} begin afresh"
        return ""

    def dump(self) -> dict[str, int]:
        """The numbers as JSON."""
        return asdict(self)


def transferred(
    source: dict[str, Tensor], config: Any, model: nn.Module, *, source_classes: Sequence[str], target_classes: Sequence[str]
) -> tuple[dict[str, Tensor], Transfer | None]:
    """The weights `source`, of the network of `config`, for the classes of `model`, and what became of theirs; None if nothing did.

    `source_classes` names the classes of the weights and `target_classes` those of `model`, which is fresh. Without
    names, classes of equal number are taken for the same. A tensor that fits for no other reason either is left as it is.
    """
    before, after = int(config.classes or 0), int(getattr(model, "classes", 0))
    named = len(source_classes) == before and len(target_classes) == after
    if before == after and (not named or list(source_classes) == list(target_classes)):
        return source, None
    rows = (
        {i: list(source_classes).index(name) for i, name in enumerate(target_classes) if name in source_classes}
        if named and before and after
        else {}
    )
    old, new = _shapes(config, before), _shapes(config, after)
    tables, parts = _tables(config, after or before), {name.split(".")[0] for name in source}
    made = {name: value for name, value in source.items() if name in new or name not in old}
    for name, fresh in model.state_dict().items():
        if name not in new or name.split(".")[0] not in parts or tuple(fresh.shape) != new[name]:
            continue
        if name not in source or name not in old:
            made[name] = fresh
        elif tuple(source[name].shape) != old[name]:
            continue
        elif name in tables and before and after:
            made[name] = _rows(source[name] * _gain(source[name], fresh, model, name), fresh, tables[name], rows)
        elif name in tables:  # without classes it has one row, for all images
            made[name] = source[name].mean(dim=tables[name], keepdim=True).expand_as(fresh).clone()
        elif old[name] != new[name]:
            made[name] = _columns(source[name] * _gain(source[name], fresh, model, name), fresh)
    return made, Transfer(before=before, after=after, kept=len(rows))


def _rows(source: Tensor, fresh: Tensor, axis: int, rows: dict[int, int]) -> Tensor:
    """`fresh` with the rows of classes that both have."""
    made = fresh.clone()
    for here, there in rows.items():
        made.select(axis, here).copy_(source.select(axis, there))
    return made


def _columns(source: Tensor, fresh: Tensor) -> Tensor:
    """`source` with as many input columns as `fresh`, the first being those that both have; fresh weights if the outputs differ too."""
    if source.ndim != 2 or len(source) != len(fresh):
        return fresh
    made, common = torch.zeros_like(fresh), min(source.shape[1], fresh.shape[1])
    made[:, :common] = source[:, :common]
    return made


def _gain(source: Tensor, fresh: Tensor, model: nn.Module, name: str) -> float:
    """The factor that keeps the effect of weights among more or fewer inputs: an equalised layer divides by the root of their number."""
    equalised = isinstance(model.get_submodule(name.rpartition(".")[0]), Dense) and source.ndim == 2
    return math.sqrt(fresh.shape[1] / source.shape[1]) if equalised else 1.0


def _tables(config: Any, classes: int) -> dict[str, int]:
    """The tensors with a row for each class, and along which of their axes."""
    shapes, wider = _shapes(config, classes), _shapes(config, classes + 1)
    grown = {name: [i for i, (a, b) in enumerate(zip(shape, wider[name], strict=True)) if b == a + 1] for name, shape in shapes.items()}
    return {name: axes[0] for name, axes in grown.items() if axes}


def _shapes(config: Any, classes: int) -> Shapes:
    """The shape of each tensor of a network of `config` with so many classes; no memory is taken for it."""
    with torch.device("meta"):
        state = replace(config, classes=classes).build().state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}
