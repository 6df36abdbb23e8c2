"""Training that begins with the weights of another network (transfer learning)."""

from collections.abc import Sequence

import torch
from torch import nn

from sfumato.core.config import parse_as
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.json_value import JsonObject
from sfumato.models.base import ModelConfig
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts
from sfumato.train.class_tables import Transfer, transferred
from sfumato.train.stored import Origin


def begin(model: nn.Module, start: str, classes: Sequence[str] = ()) -> Origin:
    """Gives `model`, a network for the classes `classes`, the weights of the model that `start` names. Returns their origin for the card.

    Parts that `start` does not have, such as a discriminator or the output of a network that enlarges by another factor, keep their random
    weights and are listed as `missing`. So are blocks with which a stage is longer: they do nothing at first. A restorer without a
    discriminator lends its weights to the restorer of a network with one. Weights of classes that it does not have are random too, and
    `classes` describes them (`class_tables`). Of a pair of networks for grey and for colour images, the one with the number of channels of
    `model` is used. Raises UnknownNameError or CheckpointError if there is no such model, SettingError, naming the first difference, if its
    weights do not fit.
    """
    tensors, header = checkpoint.read_tensors(weights.find(start))
    own = model.state_dict()
    card = checkpoint.card_of(header)
    if not getattr(model, "has_grey_path", False):
        grey = getattr(model, "channels", 3) == 1
        tensors, card = _member(tensors, grey=grey), (card.grey if grey else card.colour) or card
    tensors = _of_any_factor(tensors, header, model)
    tensors, transfer = _with_classes(_in_core(tensors, getattr(model, "core", "")), header, model, classes)
    parts = {name.split(".")[0] for name in tensors}
    blocks = _further_blocks(model, tensors)
    missing = [*sorted({name.split(".")[0] for name in own} - parts), *blocks]
    wanted = {
        name: value for name, value in own.items() if name.split(".")[0] in parts and not name.startswith(tuple(f"{b}." for b in blocks))
    }
    problem = _difference(wanted, tensors)
    if problem:
        raise SettingError(f"start = {start!r} does not fit this network: {problem}; give its settings to model, or leave start unset")
    model.load_state_dict({**own, **tensors})
    data = DataFacts(name=card.data.name, sha256=card.data.sha256, terms=card.data.terms).dump()
    totals = card.total_training()
    origin = Origin(model=start, data=data, images_seen=int(totals["images_seen"]), minutes=totals["minutes"], missing=missing)
    return {**origin, "classes": transfer.dump()} if transfer else origin


def _with_classes(
    tensors: dict[str, torch.Tensor], header: JsonObject, model: nn.Module, classes: Sequence[str]
) -> tuple[dict[str, torch.Tensor], Transfer | None]:
    """`tensors` for the classes of `model`, and the change of classes if those that they were trained on are others."""
    if not hasattr(model, "classes"):
        return tensors, None
    names = checkpoint.card_of(header).data.class_names
    try:
        config = parse_as(ModelConfig, header["model"])
        return transferred(tensors, config, model, source_classes=names, target_classes=classes)
    except (SfumatoError, KeyError, TypeError, AttributeError):
        return tensors, None  # the caller names the first difference


def _member(tensors: dict[str, torch.Tensor], *, grey: bool) -> dict[str, torch.Tensor]:
    """The weights of one of a pair of networks, by the names that they have outside of the pair; all weights if it is no pair."""
    other, mine = (".colour.", ".grey.") if grey else (".grey.", ".colour.")
    if not any(other in f".{name}" for name in tensors):
        return tensors
    return {f".{name}".replace(mine, ".", 1)[1:]: value for name, value in tensors.items() if other not in f".{name}"}


def _of_any_factor(tensors: dict[str, torch.Tensor], header: JsonObject, model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights without those of the output, if `model` is a network that enlarges by another factor."""
    part, settings = getattr(model, "output_part", ""), header.get("model")
    if not part or not isinstance(settings, dict) or settings.get("scale", 1) == getattr(model, "scale", 1):
        return tensors
    return {name: value for name, value in tensors.items() if not name.startswith(f"{part}.")}


def _further_blocks(model: nn.Module, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Names of the blocks at the ends of the stages of `model` that `tensors` does not have, and that start as the identity."""
    blocks: list[str] = []
    for name, stage in model.named_modules():
        if isinstance(stage, nn.Sequential) and all(getattr(block, "starts_as_identity", False) for block in stage):
            names = [f"{name}.{i}" for i in range(len(stage))]
            count = sum(any(weight.startswith(f"{block}.") for weight in tensors) for block in names)
            blocks += names[count:] if count else []
    return blocks


def _in_core(tensors: dict[str, torch.Tensor], core: str) -> dict[str, torch.Tensor]:
    """The weights of a network by the names that they have inside the part `core` of another; as they are if they have such a part."""
    if not core or any(name.startswith(f"{core}.") for name in tensors):
        return tensors
    return {f"{core}.{name}": value for name, value in tensors.items()}


def _difference(target: dict[str, torch.Tensor], source: dict[str, torch.Tensor]) -> str:
    """The first weight in which two networks differ, as a clause; empty if they agree."""
    for name in dict.fromkeys([*target, *source]):
        if name not in source or name not in target:
            return f"{name} is {'missing there' if name in target else 'of no use here'}"
        if target[name].shape != source[name].shape:
            there, here = ("x".join(map(str, t.shape)) or "a number" for t in (source[name], target[name]))
            return f"{name} is {there} there, {here} here"
    return ""
