"""Training that begins with the weights of another network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sfumato.core.config import parse
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts
from sfumato.train.class_tables import Transfer, transferred


def begin(model: nn.Module, start: str, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Gives `model`, trained to tell `classes` apart, the weights of the model that `start` names; says for the card what that was.

    What `start` lacks as a whole, such as a discriminator, begins afresh and is listed as `missing`; what belongs to classes that it does
    not have begins afresh too, and `classes` says so (`class_tables`). Of a pair of networks for grey and
    for colour images it is the one that takes as many channels. Raises UnknownNameError or
    CheckpointError if there is no such model, SettingError, naming the first difference, if its weights do not fit.
    """
    tensors, header = checkpoint.read_tensors(weights.find(start))
    own = model.state_dict()
    card = checkpoint.card_of(header)
    if not getattr(model, "has_grey_path", False):
        grey = getattr(model, "channels", 3) == 1
        tensors, card = _member(tensors, grey=grey), (card.grey if grey else card.colour) or card
    tensors, transfer = _with_classes(tensors, header, model, classes)
    parts = {name.split(".")[0] for name in tensors}
    missing = sorted({name.split(".")[0] for name in own} - parts)
    wanted = {name: value for name, value in own.items() if name.split(".")[0] in parts}
    problem = _difference(wanted, tensors)
    if problem:
        raise SettingError(f"start = {start!r} does not fit this network: {problem}; give its settings to model, or leave start unset")
    model.load_state_dict({**own, **tensors})
    data = DataFacts(name=card.data.name, sha256=card.data.sha256, terms=card.data.terms).dump()
    told = {"classes": transfer.dump()} if transfer else {}
    return {"model": start, "data": data, **card.total_training(), "missing": missing, **told}


def _with_classes(
    tensors: dict[str, torch.Tensor], header: dict[str, Any], model: nn.Module, classes: Sequence[str]
) -> tuple[dict[str, torch.Tensor], Transfer | None]:
    """`tensors` for the classes of `model`, and what became of those that they were trained on, if they are others."""
    if not isinstance(model, StyleGenerator | Classifier):
        return tensors, None
    names = checkpoint.card_of(header).data.class_names
    try:
        config = parse(header["model"])
        return transferred(tensors, config, model, source_classes=names, target_classes=classes)
    except (SfumatoError, KeyError, TypeError, AttributeError):
        return tensors, None  # what does not fit is told by name


def _member(tensors: dict[str, torch.Tensor], *, grey: bool) -> dict[str, torch.Tensor]:
    """The weights of one of a pair of networks, by the names they have alone; all of what is no pair."""
    other, mine = (".colour.", ".grey.") if grey else (".grey.", ".colour.")
    if not any(other in f".{name}" for name in tensors):
        return tensors
    return {f".{name}".replace(mine, ".", 1)[1:]: value for name, value in tensors.items() if other not in f".{name}"}


def _difference(target: dict[str, torch.Tensor], source: dict[str, torch.Tensor]) -> str:
    """The first weight in which two networks differ, in words; nothing if they agree."""
    for name in dict.fromkeys([*target, *source]):
        if name not in source or name not in target:
            return f"{name} is {'missing there' if name in target else 'of no use here'}"
        if target[name].shape != source[name].shape:
            there, here = ("x".join(map(str, t.shape)) or "a number" for t in (source[name], target[name]))
            return f"{name} is {there} there, {here} here"
    return ""
