"""Networks to dream with: whatever has layers, asked by their names.

which ─ opened ─┬─ Named: its own layers and scores
                ├─ Classifies, Adversarial: all its modules, and the scores of the one, the logit of the other
                └─ any module: all its modules, and what it returns
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
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import Backbone, Layer
from sfumato.models.roles.style_generator import AdversarialGenerator
from sfumato.nn import hooks
from sfumato.nn.norm import folded
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

PREFERRED = "squeezenet"
BUNDLED = ("eurosat-classifier", "fashion-classifier", "digits-classifier")
"""What is looked through where the preferred network is not here and cannot be fetched."""
SIDE = 256
"""Side of the images by which a foreign network's layers are measured."""
USUAL = 224
"""Side of the images of most networks for photographs."""
NAMES = "imagenet_synset_words.txt"


@dataclass(frozen=True, kw_only=True)
class DreamNetwork:
    """A network as that which sees."""

    name: str
    network: nn.Module
    run: hooks.Run
    """Shows it images in [0, 1]."""
    channels: int
    names: tuple[str, ...]
    """Every layer that can be asked for, in the order in which they are computed."""
    usual: str
    """The layer that is taken if none is named."""
    measure: Callable[[Sequence[str]], dict[str, Layer]]
    least: int
    """No side of what it is shown may be shorter."""
    side: int
    """The shorter side of the images that it was trained on, or is taken to have been."""
    classes: tuple[str, ...]
    """What its scores are of; empty if it gives none."""
    scores: Callable[[Images], Vectors] | None = None

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return _place(self.network)

    def layers(self, images: Images, names: Sequence[str]) -> list[Maps]:
        """The maps of the layers called `names`. What lies behind the last of them is not computed."""
        if isinstance(self.network, Backbone):
            return self.network.layers(self.preprocessed(images), names)
        return hooks.layer_outputs(self.network, self.run, self.preprocessed(images), names)

    def preprocessed(self, images: Images) -> Maps:
        """Grey images in all channels of a network of colours, of coloured ones the mean to one of grey."""
        if images.shape[1] == self.channels:
            return images
        return images.mean(dim=1, keepdim=True) if self.channels == 1 else images.expand(-1, self.channels, -1, -1)

    def layer(self, name: str) -> Layer:
        """What the layer called `name` looks at. Raises SettingError, naming the nearest ones, if there is none."""
        return self.measure([self._layer(name)])[name]

    def listed(self) -> list[Layer]:
        """Every layer."""
        found = self.measure(self.names)
        return [found[name] for name in self.names]

    def _layer(self, name: str) -> str:
        if name not in self.names:
            few = f"; this network has {', '.join(self.names)}" if len(self.names) <= 20 else ""
            listed = few if few else f"; `sfumato dream --layers {self.name}` lists them"
            raise SettingError(f"no layer {name!r}{suggest(name, self.names)}{listed}")
        return name

    def class_number(self, name: str) -> int:
        """The number of the class called `name`, or so numbered. Raises SettingError, naming the nearest, if there is none."""
        if not self.classes or self.scores is None:
            raise SettingError(f"{self.name} tells no classes apart; name a layer instead")
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
    """The network called `which`, or a module of one's own that takes images in [0, 1], in evaluation mode and ready to be asked.

    A module of one's own stays where it is; others go to `device`.

    Without one it is SqueezeNet, or where its weights cannot be had a bundled classifier, of which `on_progress` is told. Raises
    UnknownNameError or CheckpointError if there is no such model, SettingError for one without a layer that makes maps.
    """
    where = select_device(device)
    if which is None:
        which = _preferred(on_progress)
    model = weights.model_of(which)
    name = str(which) if isinstance(which, str | Path) else str(model)
    if isinstance(model.network, Backbone):
        return _of_named(model.network, model.config, name, where)
    model.network.eval()
    return _of_module(model, name, where, foreign=isinstance(which, nn.Module))


def _preferred(on_progress: Callable[[str], None]) -> str:
    try:
        weights.load(PREFERRED)
    except DataError:
        name = next(name for name in BUNDLED if name in weights.bundled())
        on_progress(
            f"{PREFERRED} is not here and cannot be fetched (see SFUMATO_WEIGHTS); this dream is {name}'s, which has seen much less"
        )
        return name
    return PREFERRED


def _of_named(network: Backbone, config: NetworkSettings | None, name: str, device: torch.device) -> DreamNetwork:
    if config is not None and getattr(config, "resize", "none") != "none":
        # A dream is looked at in its own size; a network that makes all images small first would see it blurred.
        whole = override(config, "resize=none").build()
        whole.load_state_dict(network.state_dict())
        network = cast(Backbone, whole.eval().requires_grad_(False))
    network = folded(channels_last(network, device))
    names = tuple(network.named)
    # In the middle a network has left edges behind and does not yet see whole things.
    usual = names[len(names) * 2 // 3]
    return DreamNetwork(
        name=name,
        network=network,
        run=network.scores,
        channels=network.channels,
        names=names,
        usual=usual,
        measure=lambda asked: {each: network.named[each] for each in asked},
        least=network.min_side,
        side=min(getattr(network, "size", (USUAL, USUAL))),
        classes=_class_names(network.classes),
        scores=network.scores if network.classes else None,
    )


def _of_module(model: LoadedModel[nn.Module], name: str, device: torch.device, *, foreign: bool) -> DreamNetwork:
    network = model.network if foreign else channels_last(model.network, device)
    if isinstance(network, AdversarialGenerator):
        looking: nn.Module = network.discriminator

        def run(images: Images) -> object:
            labels = torch.zeros(len(images), dtype=torch.long, device=images.device) if network.classes else None
            return network.discriminate(images, labels)

        channels, classes = network.channels, ()
    elif isinstance(network, Classifier):
        looking, run, channels = network, network.classify, network.channels
        names = model.card.data.class_names
        classes = names if len(names) == network.classes else tuple(map(str, range(network.classes)))
    else:
        looking, run, classes = network, network, ()
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        channels = convolutions[0].in_channels if convolutions else 3
    if channels not in (1, 3):
        raise SettingError(f"{name} looks at images of {channels} channels; dreams are grey or coloured")
    size = getattr(network, "size", None) or (SIDE, SIDE)
    grey = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    try:
        maps = hooks.visible(looking, run, grey.to(_place(network)))
    except SettingError as error:
        raise SettingError(f"{name} sees no images: {error}") from error
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise SettingError(f"{name} cannot be shown an image of {size_text(size)} pixels ({' '.join(str(error).split())[:120]})") from error
    if not maps:
        raise SettingError(f"{name} has no convolution: no layer of it makes maps of an image, so that there is nothing to dream of")
    if not isinstance(network, AdversarialGenerator | Classifier):
        with torch.no_grad():
            out = run(grey.to(_place(network)))
        classes = tuple(map(str, range(out.shape[1]))) if isinstance(out, Tensor) and out.ndim == 2 else ()
    shapes = {each: (int(made.shape[1]), max(1, round(size[1] / made.shape[3]))) for each, made in maps.items()}
    coarsest = max(stride for _, stride in shapes.values())
    known: dict[str, Layer] = {}

    def measured(asked: Sequence[str]) -> dict[str, Layer]:
        if new := [each for each in asked if each not in known]:
            known.update(_measured(looking, run, channels, shapes, new))
        return known

    return DreamNetwork(
        name=name,
        network=looking,
        run=run,
        channels=channels,
        names=tuple(maps),
        usual=list(maps)[len(maps) * 2 // 3],
        measure=measured,
        least=coarsest,
        side=min(getattr(network, "size", None) or (USUAL, USUAL)),
        classes=classes,
        scores=(lambda images: cast(Tensor, run(images)).float()) if classes else None,
    )


def _measured(
    network: nn.Module, run: hooks.Run, channels: int, shapes: dict[str, tuple[int, int]], asked: Sequence[str]
) -> dict[str, Layer]:
    """Each layer as an image that the network was not made for shows it, which its head need not take: it never comes so far."""
    images = torch.zeros(1, channels, SIDE, SIDE, device=_place(network))
    return {name: Layer(name, shapes[name][0], *seen) for name, seen in hooks.sights(network, run, images, asked).items()}


def _class_names(count: int) -> tuple[str, ...]:
    """What the thousand classes of ImageNet are called, if the list of them lies beside the weights; else their numbers."""
    path = Path(os.environ.get("SFUMATO_WEIGHTS", "")).expanduser() / NAMES
    if count == 1000 and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) == count:
            return tuple(line.partition(" ")[2] for line in lines)
    return tuple(map(str, range(count)))


def _place(network: nn.Module) -> torch.device:
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device
