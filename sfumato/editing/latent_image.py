"""One image of a generator as latents: its styles, class and noise. Drawn from a seed or projected from a picture, rendered, saved."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from sfumato.core import outputs, schema
from sfumato.core.errors import CheckpointError, FormatError, SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.tensors import Images, Labels, Maps, Styles
from sfumato.core.text import quoted
from sfumato.generation.generate import class_names, grain, labels_of, latent, sampler, show, styled
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.store import checkpoint
from sfumato.store.loaded import Model

ENTRY = "subject"
"""The entry of a file's header that tells latents from a model."""


class Header(TypedDict):
    """The content of that entry."""

    label: NotRequired[schema.Whole | None]
    origin: NotRequired[JsonObject]
    weights: str


class StartRow(TypedDict, total=False):
    """The start of an edit, as a file holds it: a seed, or a file of styles."""

    seed: schema.Whole
    label: str | int | None
    truncation: schema.Finite
    styles: str


@dataclass(frozen=True, kw_only=True)
class LatentImage:
    """An image as latents: styles, class and noise from which a network synthesizes it."""

    styles: Styles
    """Of one image, (1, styles, style_dim)."""
    label: int | None = None
    """Number of its class; None for a network without classes."""
    noise: tuple[Maps, ...] | None = None
    """Noise that the network adds to its feature maps, coarse to fine; None for the network's own noise."""
    origin: JsonObject = field(default_factory=dict)
    """The seed or the picture that the image comes from, for JSON."""
    weights: str = ""
    """SHA-256 of the generator's weights."""
    start: StartRow | None = field(default=None, compare=False)
    """How to get this very image again: `seed`, `label` and `truncation`, or `styles`, the path of its file; None if neither is enough."""

    @property
    def labels(self) -> Labels | None:
        """Its class as networks take it."""
        return None if self.label is None else torch.tensor([self.label])

    def moved(self, styles: Styles, **origin: Json) -> "LatentImage":
        """The same image with other styles; `origin` is added to where it comes from."""
        return replace(self, styles=styles, origin={**self.origin, **origin}, start=None)

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes a .safetensors file, which `edit`, `drag` and `load` read; returns its path.

        Raises SettingError for another ending, for a file that is not to be replaced, and for latents that name no generator.
        """
        target = Path(path)
        outputs.check_ending(target, (".safetensors",), "styles")
        return save_files([target], lambda: self.write(target), by="project", overwrite=overwrite)

    def write(self, path: Path) -> None:
        """Writes the file at once, whatever is there. Raises SettingError for latents that name no generator, StorageError."""
        if not self.weights:
            raise SettingError("these latents do not name the weights of a generator; set `weights` to `weights_hash(network)`")
        tensors = {"styles": self.styles} | {f"noise.{i}": plane for i, plane in enumerate(self.noise or ())}
        header = {"label": self.label, "origin": self.origin, "weights": self.weights}
        checkpoint.write_tensors(path, tensors, {ENTRY: header})


def drawn(model: Model, seed: int, *, label: str | int | None = None, truncation: float = 1.0) -> LatentImage:
    """The latents of the image that `generate` returns for the seed."""
    source = sampler(model)
    network, labels = source.network, labels_of(source, [seed], label)
    styles = styled(source, latent(network, seed), labels, truncation=truncation)
    number = None if labels is None else int(labels)
    origin = {"seed": seed, "label": None if number is None else class_names(source)[number], "truncation": truncation}
    noise = tuple(grain(network, [seed])) or None
    start: StartRow = {"seed": seed, "label": label, "truncation": truncation}
    return LatentImage(styles=styles, label=number, noise=noise, origin=origin, weights=weights_hash(network), start=start)


def latent_image(
    model: Model, source: "LatentImage | int | str | Path", *, label: str | int | None = None, truncation: float = 1.0
) -> LatentImage:
    """`source` itself if it is latents, else the latents of a seed or of a file. Raises SettingError for latents of another generator.

    `model` is a name, a file, a run folder, a network or a loaded model. `label` and `truncation` are those of a seed, as in `generate`.
    """
    loaded = sampler(model)
    if isinstance(source, int):
        return drawn(loaded, source, label=label, truncation=truncation)
    if label is not None or truncation != 1:
        raise SettingError("label and truncation are those of a seed; latents have them already, so leave both out")
    if isinstance(source, str | Path):
        return load(Path(source), loaded)
    weights = weights_hash(loaded.network)
    if source.weights not in ("", weights):
        raise SettingError("these latents belong to another model; make them again with this one")
    return replace(source, weights=weights)


def render(model: Model, source: LatentImage, styles: Styles | None = None) -> Images:
    """The image of latents in [0, 1], on the CPU; or the images of other `styles` with its class and noise."""
    styles = source.styles if styles is None else styles
    labels = None if source.labels is None else source.labels.expand(len(styles))
    return show(model, styles, labels, source.noise)


def read_own(path: Path, model: Model, *, entry: str, kind: type, key: str, noun: str, verb: str) -> tuple[dict[str, Tensor], JsonObject]:
    """The tensors of a file that holds `noun` of `model`, all finite, and the content of its header's `entry`, of the shape `kind`.

    Raises CheckpointError, naming the `verb` that writes such files, for a file without that entry or the tensor `key`, and SettingError
    for a file of another network.
    """
    if not path.exists():
        raise CheckpointError(f"there is no file {path} of {noun}; `sfumato {verb}` makes such files")
    tensors, header = checkpoint.read_tensors(path)
    content = header.get(entry)
    if not isinstance(content, dict) or key not in tensors:
        raise CheckpointError(f"{path} holds no {noun}; `sfumato {verb}` makes such files")
    try:
        schema.checked(content, kind, str(path))
    except FormatError as error:
        raise CheckpointError(f"{error}; make it again with `sfumato {verb}`") from error
    if broken := next((name for name, t in tensors.items() if t.dtype != torch.float32 or not t.isfinite().all()), None):
        raise CheckpointError(f"{path}: {quoted(broken)} holds something else than finite numbers; make it again with `sfumato {verb}`")
    if content["weights"] != weights_hash(sampler(model).network):
        raise SettingError(f"{path} holds {noun} of another model than this; make them again with `sfumato {verb}`")
    return tensors, content


def save(path: Path, source: LatentImage, model: Model) -> Path:
    """Writes the latents of an image of `model` as a .safetensors file. Returns the path. Raises StorageError."""
    replace(source, weights=weights_hash(sampler(model).network)).write(path)
    return path


def load(path: Path, model: Model) -> LatentImage:
    """The latents in a file that `save` wrote. Raises CheckpointError for another file, SettingError for a file of another network."""
    network = sampler(model).network
    tensors, content = read_own(path, network, entry=ENTRY, kind=Header, key="styles", noun="styles", verb="project")
    header = schema.checked(content, Header, str(path))
    planes = [] if len(tensors) == 1 else [(f"noise.{i}", (1, 1, *size)) for i, size in enumerate(network.noise_shapes())]
    label, shapes = header.get("label"), {"styles": (1, network.styles, network.style_dim), **dict(planes)}
    if {name: tuple(t.shape) for name, t in tensors.items()} != shapes:
        raise CheckpointError(f"{path}: its tensors are not the styles and the noise of one image; make it again with `sfumato project`")
    if (label is None) != (not network.classes) or (label or 0) >= max(1, network.classes):
        raise CheckpointError(f"{path}: label {label} is no class of this model, which has {network.classes}")
    noise = tuple(tensors[name] for name, _ in planes) or None
    start: StartRow = {"styles": str(path)}
    origin, weights = header.get("origin", {}), header["weights"]
    return LatentImage(styles=tensors["styles"], label=label, noise=noise, origin=origin, weights=weights, start=start)
