"""The weights of a network for some classes, converted for a network of the same family with other classes, or without.

The weights that belong to classes are those whose shapes change with the number of classes. Tables with a row for each class keep the
rows of classes of the same name; other rows begin afresh. A layer that takes a latent and a label loses or gains the columns of the
label. New columns are zero: at first the network generates for every label the images that it generated without labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sfumato.core.config import changed
from sfumato.models.base import ModelConfig
from sfumato.nn.style import Dense
from sfumato.train.stored import Classes

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The change of classes."""

    before: int
    """Number of classes of the source weights; 0 for none."""
    after: int
    """Number of classes of the new network."""
    kept: int
    """Number of its classes that the source weights have too, by name."""

    def __str__(self) -> str:
        if not self.before:
            return f"the tables of {self.after} classes begin afresh: the weights have none (--model.classes 0 ignores those of the data)"
        if not self.after:
            return f"the tables of {self.before} classes are left out: the data has none, or they are ignored"
        if not self.kept:
            return f"the tables of {self.before} classes begin afresh: the data has {self.after} others"
        if self.kept < self.after:
            kept, fresh = self.kept, self.after - self.kept
            return f"{kept} of the {self.after} classes keep their tables; the other {fresh} begin afresh"
        return ""

    def dump(self) -> Classes:
        """The numbers as JSON."""
        return Classes(before=self.before, after=self.after, kept=self.kept)


def transferred(
    source: dict[str, Tensor], config: ModelConfig, model: nn.Module, *, source_classes: Sequence[str], target_classes: Sequence[str]
) -> tuple[dict[str, Tensor], Transfer | None]:
    """The weights `source` of the network of `config`, for the classes of `model`, and the change of classes; None without a change.

    `source_classes` names the classes of the weights and `target_classes` those of `model`, whose weights are random. Without names,
    classes are the same if their number is. A tensor that differs for another reason is left as it is.
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
    converted = {name: value for name, value in source.items() if name in new or name not in old}
    for name, fresh in model.state_dict().items():
        if name not in new or name.split(".")[0] not in parts or tuple(fresh.shape) != new[name]:
            continue
        if name not in source or name not in old:
            converted[name] = fresh
        elif tuple(source[name].shape) != old[name]:
            continue
        elif name in tables and before and after:
            converted[name] = _rows(source[name] * _gain(source[name], fresh, model, name), fresh, tables[name], rows)
        elif name in tables:  # without classes it has one row, for all images
            converted[name] = source[name].mean(dim=tables[name], keepdim=True).expand_as(fresh).clone()
        elif old[name] != new[name]:
            converted[name] = _columns(source[name] * _gain(source[name], fresh, model, name), fresh)
    return converted, Transfer(before=before, after=after, kept=len(rows))


def _rows(source: Tensor, fresh: Tensor, axis: int, rows: dict[int, int]) -> Tensor:
    """`fresh` with the rows of classes that both have."""
    table = fresh.clone()
    for here, there in rows.items():
        table.select(axis, here).copy_(source.select(axis, there))
    return table


def _columns(source: Tensor, fresh: Tensor) -> Tensor:
    """`source` with as many input columns as `fresh`, the first being those that both have; fresh weights if the outputs differ too."""
    if source.ndim != 2 or len(source) != len(fresh):
        return fresh
    matrix, common = torch.zeros_like(fresh), min(source.shape[1], fresh.shape[1])
    matrix[:, :common] = source[:, :common]
    return matrix


def _gain(source: Tensor, fresh: Tensor, model: nn.Module, name: str) -> float:
    """The factor that keeps the effect of weights among more or fewer inputs: an equalised layer divides by the root of their number."""
    equalised = isinstance(model.get_submodule(name.rpartition(".")[0]), Dense) and source.ndim == 2
    return math.sqrt(fresh.shape[1] / source.shape[1]) if equalised else 1.0


def _tables(config: ModelConfig, classes: int) -> dict[str, int]:
    """The tensors with a row for each class, and along which of their axes."""
    shapes, wider = _shapes(config, classes), _shapes(config, classes + 1)
    grown = {name: [i for i, (a, b) in enumerate(zip(shape, wider[name], strict=True)) if b == a + 1] for name, shape in shapes.items()}
    return {name: axes[0] for name, axes in grown.items() if axes}


def _shapes(config: ModelConfig, classes: int) -> Shapes:
    """The shape of each tensor of a network of `config` with so many classes; no memory is taken for it."""
    with torch.device("meta"):
        state = changed(config, classes=classes).build().state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}
