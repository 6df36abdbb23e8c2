"""Networks to dream with: the layers of any network, by their names.

which ─ opened ─ feature_source ─┬─ with named layers: these, and its scores
                                 └─ others: all modules, and the scores if there are any
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from sfumato.core.catalog import composed, suggest
from sfumato.core.config import override
from sfumato.core.device import channels_last, select_device
from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import Images, Maps, Vectors, size_text
from sfumato.models.base import NetworkSettings
from sfumato.models.roles.base import FeatureSource, Layer, feature_source
from sfumato.models.roles.feature_extractor import Backbone
from sfumato.nn import hooks
from sfumato.nn.channels import average_channels
from sfumato.nn.norm import fold_batch_norm
from sfumato.store import weights
from sfumato.store.cards import ModelCard
from sfumato.store.loaded import LoadedModel, Model

PREFERRED = "squeezenet"
BUNDLED = ("eurosat-classifier", "fashion-classifier", "digits-classifier")
"""Networks that replace the preferred one if it is missing and cannot be fetched."""
SIDE = 256
"""Side of the images on which the layers of any other network are measured."""
USUAL = 224
"""Side of the images of most networks for photographs."""
NAMES = "imagenet_synset_words.txt"


@dataclass(frozen=True, kw_only=True)
class DreamNetwork:
    """A network with its layers and scores."""

    name: str
    network: nn.Module
    run: hooks.Run
    """Runs the network on images in [0, 1]."""
    channels: int
    names: tuple[str, ...]
    """Names of all layers, in the order of computation."""
    usual: str
    """The default layer."""
    measure: Callable[[Sequence[str]], dict[str, Layer]]
    """Maps names to layers with their stride and receptive field."""
    read: Callable[[Maps, Sequence[str]], list[Maps]]
    """The maps of some layers for preprocessed images, without running later layers."""
    least: int
    """Least side of an image, in pixels."""
    side: int
    """The shorter side of the training images, or an assumption about it."""
    classes: tuple[str, ...]
    """Names of the classes of its scores; empty without scores."""
    scores: Callable[[Images], Vectors] | None = None

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return _place(self.network)

    def layers(self, images: Images, names: Sequence[str]) -> list[Maps]:
        """The maps of the layers called `names`. Later layers are not computed."""
        return self.read(self.preprocessed(images), names)

    def preprocessed(self, images: Images) -> Maps:
        """Images with the channels of the network: grey ones repeated, or the mean of coloured ones."""
        return average_channels(images, self.channels)

    def layer(self, name: str) -> Layer:
        """The layer called `name`. Raises SettingError, with the most similar names, if there is none."""
        return self.measure([self._layer(name)])[name]

    def listed(self) -> list[Layer]:
        """Every layer."""
        layers = self.measure(self.names)
        return [layers[name] for name in self.names]

    def _layer(self, name: str) -> str:
        if name not in self.names:
            few = f"; this network has {', '.join(self.names)}" if len(self.names) <= 20 else ""
            listed = few if few else f"; `sfumato dream --layers {self.name}` lists them"
            raise SettingError(f"no layer {name!r}{suggest(name, self.names)}{listed}")
        return name

    def class_number(self, name: str) -> int:
        """The number of a class by its name or number. Raises SettingError, with the most similar names, if there is none."""
        if not self.classes or self.scores is None:
            raise SettingError(f"{self.name} has no classes; give a layer instead")
        if name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        name = composed(name)
        words = {composed(word).strip().lower(): i for i, names in reversed(list(enumerate(self.classes))) for word in names.split(",")}
        if name.lower() not in words and all(each.isdecimal() for each in self.classes):
            raise SettingError(
                f"{self.name} knows its {len(self.classes)} classes by number only ({NAMES} in SFUMATO_WEIGHTS names ImageNet's)"
            )
        if name.lower() not in words:
            raise SettingError(f"no class {name!r}{suggest(name.lower(), words)}; {self.name} knows {len(self.classes)}")
        return words[name.lower()]


def dream_network(which: Model | None = None, *, device: str = "auto", on_progress: Callable[[str], None] = lambda _: None) -> DreamNetwork:
    """The network called `which`, or a given module that takes images in [0, 1], in evaluation mode.

    A given module stays on its device; others go to `device`. By default the network is SqueezeNet, or, without its weights, a bundled
    classifier, in which case `on_progress` is called with a remark. Raises UnknownNameError or CheckpointError if there is no such model,
    SettingError for a network without a layer that makes maps.
    """
    where = select_device(device)
    if which is None:
        which = _preferred(on_progress)
    model = weights.model_of(which)
    name = str(which) if isinstance(which, str | Path) else str(model)
    if feature_source(model.network).named:
        return _of_named(cast(Backbone, model.network), model.config, name, where)
    model.network.eval()
    return _of_modules(model, name, where, foreign=isinstance(which, nn.Module))


def _preferred(on_progress: Callable[[str], None]) -> str:
    """The name of the default network."""
    try:
        weights.load(PREFERRED)
    except DataError:
        name = next(name for name in BUNDLED if name in weights.bundled())
        on_progress(
            f"{PREFERRED} is missing and cannot be fetched (see SFUMATO_WEIGHTS); this dream uses {name}, which was trained on much less"
        )
        return name
    return PREFERRED


def _of_named(network: Backbone, config: NetworkSettings | None, name: str, device: torch.device) -> DreamNetwork:
    if config is not None and getattr(config, "resize", "none") != "none":
        # A network that resizes all images first would see a large dream blurred.
        whole = override(config, "resize=none").build()
        whole.load_state_dict(network.state_dict())
        network = cast(Backbone, whole.eval().requires_grad_(False))
    network = fold_batch_norm(channels_last(network, device))
    names = tuple(network.named)
    # Layers in the middle respond to more than edges and to less than whole objects.
    usual = names[len(names) * 2 // 3]
    return DreamNetwork(
        name=name,
        network=network,
        run=network.scores,
        channels=network.channels,
        names=names,
        usual=usual,
        measure=lambda layers: {each: network.named[each] for each in layers},
        read=network.layers,
        least=network.min_side,
        side=min(getattr(network, "size", (USUAL, USUAL))),
        classes=_class_names(network.classes),
        scores=network.scores if network.classes else None,
    )


def _of_modules(model: LoadedModel[nn.Module], name: str, device: torch.device, *, foreign: bool) -> DreamNetwork:
    network = model.network if foreign else channels_last(model.network, device)
    source = feature_source(network)
    layers, run, channels, size = source.network, source.run, _channels(source, name), source.size or (SIDE, SIDE)
    probe = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0)).to(_place(network))
    maps = _visible(source, probe, name)
    classes = _classes(model.card, source, probe)
    shapes = {each: (int(output.shape[1]), max(1, round(size[1] / output.shape[3]))) for each, output in maps.items()}
    measurements: dict[str, Layer] = {}

    def measure(names: Sequence[str]) -> dict[str, Layer]:
        if new := [each for each in names if each not in measurements]:
            measurements.update(_measured(layers, run, channels, shapes, new))
        return measurements

    return DreamNetwork(
        name=name,
        network=layers,
        run=run,
        channels=channels,
        names=tuple(maps),
        usual=list(maps)[len(maps) * 2 // 3],
        measure=measure,
        read=lambda images, names: hooks.layer_outputs(layers, run, images, names),
        least=max(stride for _, stride in shapes.values()),
        side=min(source.size or (USUAL, USUAL)),
        classes=classes,
        scores=(lambda images: cast(Tensor, run(images)).float()) if classes else None,
    )


def _channels(source: FeatureSource, name: str) -> int:
    """Channels of the images that a network takes. Raises SettingError unless they are grey or coloured."""
    channels = source.channels
    if channels is None:
        convolutions = [module for module in source.network.modules() if isinstance(module, nn.Conv2d)]
        channels = convolutions[0].in_channels if convolutions else 3
    if channels not in (1, 3):
        raise SettingError(f"{name} takes images of {channels} channels; dreams have 1 or 3")
    return channels


def _visible(source: FeatureSource, probe: Images, name: str) -> dict[str, Maps]:
    """The layers that make maps of an image, with those of `probe`. Raises SettingError if there is none or the network takes no images."""
    try:
        maps = hooks.spatial_outputs(source.network, source.run, probe)
    except SettingError as error:
        raise SettingError(f"{name} takes no images: {error}") from error
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SettingError(f"{name} cannot take an image of {size_text(probe.shape[2:])} pixels ({reason})") from error
    if not maps:
        raise SettingError(
            f"{name} has no layer that makes maps of an image, so there is nothing to dream of; give a convolutional network"
        )
    return maps


def _classes(card: ModelCard, source: FeatureSource, probe: Images) -> tuple[str, ...]:
    """The names of the classes of a network's scores: those of its card, else numbers; none without scores."""
    if source.classes is not None:
        names = card.data.class_names
        return names if len(names) == source.classes else tuple(map(str, range(source.classes)))
    with torch.no_grad():
        output = source.run(probe)
    return tuple(map(str, range(output.shape[1]))) if isinstance(output, Tensor) and output.ndim == 2 else ()


def _measured(
    network: nn.Module, run: hooks.Run, channels: int, shapes: dict[str, tuple[int, int]], names: Sequence[str]
) -> dict[str, Layer]:
    """Each layer, measured on an image of `SIDE` pixels. The head need not take images of that size: it is not computed."""
    images = torch.zeros(1, channels, SIDE, SIDE, device=_place(network))
    return {name: Layer(name, shapes[name][0], *field) for name, field in hooks.receptive_fields(network, run, images, names).items()}


def _class_names(count: int) -> tuple[str, ...]:
    """Names of the classes of ImageNet, for a network of a thousand classes with the list beside the weights; else numbers."""
    path = Path(os.environ.get("SFUMATO_WEIGHTS", "")).expanduser() / NAMES
    if count == 1000 and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) == count:
            return tuple(line.partition(" ")[2] for line in lines)
    return tuple(map(str, range(count)))


def _place(network: nn.Module) -> torch.device:
    """The device of the weights."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device
