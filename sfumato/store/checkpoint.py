"""A model is one file: safetensors, with everything else about it as JSON in the header. No code is ever stored or run."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import nn

from sfumato.core import atomic_io, schema
from sfumato.core.config import dump, parse_as
from sfumato.core.device import channels_last
from sfumato.core.errors import CheckpointError, FormatError, SettingError, SfumatoError
from sfumato.core.finite import nonfinite
from sfumato.core.json_value import Json, JsonObject
from sfumato.models.base import NetworkSettings
from sfumato.store import unsupported
from sfumato.store.cards import Header, ModelCard
from sfumato.store.loaded import LoadedModel
from sfumato.store.migrate import FORMAT, upgraded

KEY = "sfumato"
"""The header entry under which our JSON lies."""
_MODULE = frozenset(vars(nn.Module()))
"""What every module has beside its own values."""


def save(path: Path, network: nn.Module, config: NetworkSettings, card: ModelCard | Mapping[str, Json], *, half: bool = False) -> None:
    """Writes `network`, built from `config`, with its `card`; with `half`, weights are kept in 16 bits.

    An old file is replaced whole or not at all.
    """
    facts = card if isinstance(card, ModelCard) else ModelCard.read(card, "the card")
    tensors = {k: v.half() if half and v.is_floating_point() and v.dim() else v for k, v in network.state_dict().items()}
    write_tensors(path, tensors, {"model": dump(config), "card": facts.dump()})


def save_model(path: Path, model: LoadedModel[nn.Module], *, half: bool = False) -> None:
    """Writes `model` as `save` does. Raises SettingError for a model without settings, which no file could give back."""
    if model.config is None:
        raise SettingError(f"{model} has no settings, so that its file could not be loaded: give its network and its settings to `save`")
    save(path, model.network, model.config, model.card, half=half)


def load(path: Path) -> LoadedModel[nn.Module]:
    """The model in `path`: its network, ready for use, its settings and its card.

    Raises CheckpointError if the file is not one of ours, is damaged, or its weights do not fit its settings or are not finite.
    """
    tensors, header = read_tensors(path)
    try:
        config = parse_as(NetworkSettings, header["model"])
        network = _outline(config)
        reason = _misfit(network, tensors)
    except (SfumatoError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{path}: its settings are not usable here: {error}") from error
    if reason:
        raise CheckpointError(f"{path}: its weights do not fit its settings: {reason}")
    if _is_all_state(network):  # then nothing need be drawn at random first, to be written over
        kinds = {name: value.dtype for name, value in network.state_dict().items()}
        network.load_state_dict({name: value.to(kinds[name], copy=True) for name, value in tensors.items()}, assign=True)
    else:
        network = config.build()
        network.load_state_dict(tensors)
    return LoadedModel(network=ready(network), config=config, card=card_of(header), path=path)


def ready(network: nn.Module) -> nn.Module:
    """`network` as it is used after training: without gradients, in evaluation mode, in the memory format that is fastest."""
    return channels_last(network).requires_grad_(False).eval()


def card_of(header: Mapping[str, Json]) -> ModelCard:
    """The card in the header of a model file; an empty one if the header has none."""
    return ModelCard.read(header.get("card", {}), "its card")


def misfit(config: NetworkSettings, tensors: dict[str, torch.Tensor]) -> str:
    """The first of `tensors` that the network of `config` has not, or has of another shape, or lacks; nothing if they fit.

    No memory is taken for the network: a small file must not ask for a large one.
    """
    return _misfit(_outline(config), tensors)


def _outline(config: NetworkSettings) -> nn.Module:
    """The network of `config` with tensors that have shapes and take no memory."""
    with torch.device("meta"):
        return config.build()


def _misfit(outline: nn.Module, tensors: dict[str, torch.Tensor]) -> str:
    expected = outline.state_dict()
    for name in dict.fromkeys([*expected, *tensors]):
        there, here = (tuple(each[name].shape) if name in each else None for each in (tensors, expected))
        if there != here:
            return f"{name} is {'missing' if there is None else 'of no use' if here is None else f'{there}, not {here}'}"
    return ""


def _is_all_state(network: nn.Module) -> bool:
    """Whether each tensor of `network` has one name, under which a checkpoint has it; constants, say, are computed and not stored."""
    state = network.state_dict(keep_vars=True).values()
    tensors = {id(each) for each in (*network.parameters(), *network.buffers())}
    own = (value for module in network.modules() for name, value in vars(module).items() if name not in _MODULE)
    return tensors == {id(each) for each in state} and len(tensors) == len(state) and all(map(_plain, own))


def _plain(value: object) -> bool:
    """Whether a value is known to hold no tensor."""
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def read_card(path: Path) -> ModelCard:
    """The card in `path`, without its weights. Raises CheckpointError like `load`."""
    return card_of(read_header(path))


def read_header(path: Path) -> JsonObject:
    """Settings and card of `path`, without its weights. Raises CheckpointError like `load`."""
    with _opened(path) as file:
        return _header(path, file)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], JsonObject]:
    """All tensors of `path`, and its header. Raises CheckpointError if it is missing, damaged, not ours, or not finite."""
    with _opened(path) as file:
        header = _header(path, file)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    check_finite(tensors, path)
    return tensors, header


def check_finite(tensors: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Raises CheckpointError, naming `path`, the first tensor that holds NaN or infinity, and how many such values there are in all."""
    counts = {name: count for name, value in tensors.items() if (count := nonfinite(value))}
    if counts:
        first, more = next(iter(counts)), f" and {len(counts) - 1} more tensors hold" if len(counts) > 1 else " holds"
        raise CheckpointError(
            f"{path}: {first}{more} {sum(counts.values()):,} values that are not finite (NaN or infinity): the file was damaged, or its "
            "training diverged; take another copy, or train again"
        )


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], header: Mapping[str, object]) -> None:
    """Writes a file, whole or not at all. Raises StorageError if that fails, with the old file untouched."""
    flat = {name: t.detach().cpu().contiguous(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    # Not the library's own way to a file: it leaves a temporary one of another name behind where it is killed.
    atomic_io.write(path, serialised(flat, metadata={KEY: json.dumps({"format": FORMAT, **header})}))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise CheckpointError(f"no model file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        unsupported.check(path)
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not a whole safetensors file ({reason}); other formats must be imported first") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _header(path: Path, file: safe_open) -> JsonObject:
    try:
        header = schema.parsed_object((file.metadata() or {})[KEY], "its header")
        header["format"]
    except (KeyError, FormatError) as error:
        raise CheckpointError(f"{path} holds tensors but was not written by Sfumato; import it first") from error
    try:
        header = upgraded(header)
    except FormatError as error:
        raise CheckpointError(f"{path} {error}") from error
    try:
        schema.checked(header, Header, "its header")
    except FormatError as error:
        raise CheckpointError(f"{path} was not written by Sfumato, or was changed since: {error}") from error
    return header
