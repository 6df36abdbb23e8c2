"""One image as its generator knows it: its styles, class and noise. Drawn from a seed or found for a picture, shown, kept in a file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from sfumato.core import schema
from sfumato.core.errors import CheckpointError, FormatError, SettingError
from sfumato.core.json_value import JsonObject
from sfumato.core.tensors import Images, Labels, Maps, Styles
from sfumato.core.text import quoted
from sfumato.generation.generate import class_names, grain, labels_of, latent, sampler, show, styled
from sfumato.metrics.features import weights_hash
from sfumato.store import checkpoint
from sfumato.store.loaded import Model

ENTRY = "subject"
"""The entry of a file's header that tells it from a model's."""


class Told(TypedDict):
    """What stands under that entry."""

    label: NotRequired[schema.Whole | None]
    origin: NotRequired[JsonObject]
    weights: str


@dataclass(frozen=True, kw_only=True)
class LatentImage:
    styles: Styles
    """Of one image."""
    label: int | None = None
    """Number of its class, for a network that knows classes."""
    noise: tuple[Maps, ...] | None = None
    """What the network adds to its maps, coarse to fine; its own noise if None."""
    origin: JsonObject = field(default_factory=dict)
    """Where it comes from, for JSON."""

    @property
    def labels(self) -> Labels | None:
        """Its class as networks take it."""
        return None if self.label is None else torch.tensor([self.label])


def drawn(model: Model, seed: int, *, label: str | int | None = None, truncation: float = 1.0) -> LatentImage:
    """What `generate` shows for the seed."""
    source = sampler(model)
    labels = labels_of(source, [seed], label)
    styles = styled(source, latent(source.network, seed), labels, truncation=truncation)
    which = None if labels is None else int(labels)
    origin = {"seed": seed, "label": None if which is None else class_names(source)[which], "truncation": truncation}
    return LatentImage(styles=styles, label=which, noise=tuple(grain(source.network, [seed])) or None, origin=origin)


def render(model: Model, subject: LatentImage, styles: Styles | None = None) -> Images:
    """Its image in [0, 1], on the CPU; or those of other `styles` with its class and noise."""
    styles = subject.styles if styles is None else styles
    labels = None if subject.labels is None else subject.labels.expand(len(styles))
    return show(model, styles, labels, subject.noise)


def owned(path: Path, model: Model, *, entry: str, kind: type, key: str, noun: str, verb: str) -> tuple[dict[str, Tensor], JsonObject]:
    """The tensors of a file that holds `noun` of `network`, all finite, and what its header tells under `entry`, of the shape `kind`.

    Raises CheckpointError for a file without it or the tensor `key`, saying which `verb` makes such files, and SettingError if it was
    made with another network.
    """
    if not path.exists():
        raise CheckpointError(f"there is no file {path} of {noun}; `sfumato {verb}` makes such files")
    tensors, header = checkpoint.read_tensors(path)
    about = header.get(entry)
    if not isinstance(about, dict) or key not in tensors:
        raise CheckpointError(f"{path} holds no {noun}; `sfumato {verb}` makes such files")
    try:
        schema.checked(about, kind, str(path))
    except FormatError as error:
        raise CheckpointError(f"{error}; make it again with `sfumato {verb}`") from error
    if broken := next((name for name, t in tensors.items() if t.dtype != torch.float32 or not t.isfinite().all()), None):
        raise CheckpointError(f"{path}: {quoted(broken)} holds something else than finite numbers; make it again with `sfumato {verb}`")
    if about["weights"] != weights_hash(sampler(model).network):
        raise SettingError(f"{path} holds {noun} of another model than this; make them again with `sfumato {verb}`")
    return tensors, about


def save(path: Path, subject: LatentImage, model: Model) -> Path:
    """Writes it as a .safetensors file that knows which weights it belongs to. Returns the path. Raises StorageError."""
    tensors = {"styles": subject.styles} | {f"noise.{i}": plane for i, plane in enumerate(subject.noise or ())}
    about = {"label": subject.label, "origin": subject.origin, "weights": weights_hash(sampler(model).network)}
    checkpoint.write_tensors(path, tensors, {ENTRY: about})
    return path


def load(path: Path, model: Model) -> LatentImage:
    """What `save` wrote. Raises CheckpointError for another file, SettingError if it was made with another network."""
    network = sampler(model).network
    tensors, about = owned(path, network, entry=ENTRY, kind=Told, key="styles", noun="styles", verb="project")
    planes = [] if len(tensors) == 1 else [(f"noise.{i}", (1, 1, *size)) for i, size in enumerate(network.noise_shapes())]
    stored = schema.checked(about, Told, str(path))
    label, wanted = stored.get("label"), {"styles": (1, network.styles, network.style_dim), **dict(planes)}
    if {name: tuple(t.shape) for name, t in tensors.items()} != wanted:
        raise CheckpointError(f"{path}: its tensors are not the styles and the noise of one image; make it again with `sfumato project`")
    if (label is None) != (not network.classes) or (label or 0) >= max(1, network.classes):
        raise CheckpointError(f"{path}: label {label} is no class of this model, which has {network.classes}")
    noise = tuple(tensors[name] for name, _ in planes) or None
    return LatentImage(styles=tensors["styles"], label=label, noise=noise, origin=stored.get("origin", {}))
