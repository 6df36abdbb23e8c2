"""Networks that others trained to name what photographs show, for the eyes of metrics, losses and dreams (nn/trunks.py has them).

    images ─ resize ─ levels ─ steps ─┬─ mean ─ features
                                      └─ head ─ scores
    images ─────────── levels ─ steps, one by one ─ layers, of images of any size

Feature vectors are what the field compares: 2048 means of the last maps of `inception` for the FID (Heusel et al. 2017), the second
hidden layer of `vgg16` for precision and recall (Kynkäänniemi et al. 2019), the means of the last maps of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.catalog import suggest
from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Vectors, size_text
from sfumato.models.roles.base import Layer
from sfumato.models.roles.feature_extractor import Backbone, FeatureExtractor
from sfumato.nn.backbones import TRUNKS
from sfumato.nn.branches import Sight, sight, width_of
from sfumato.nn.resample import bilinear_from_corner

RESIZING = {"bicubic": "bicubic, antialiased, {0}", "tf1": "bilinear of TensorFlow 1, not antialiased, {0}", "none": "none"}


@settings
class Config:
    id = "features"
    trunk: Literal["squeezenet", "alexnet", "vgg16", "googlenet", "inception"] = "squeezenet"
    """Which network."""
    classes: Annotated[int, Range(0, 100_000, "classes")] = 1000
    """How many its head tells apart; 0 leaves the head away."""
    resize: Literal["bicubic", "tf1", "none"] = "bicubic"
    """How images come to the size that it was trained on before they are described: as Pillow does in float and then cut to [0, 1], as
    the first FID did, or not at all."""

    @property
    def size(self) -> None:
        """It looks at images of every size."""

    @property
    def channels(self) -> int:
        """Colour; a grey image is shown as one."""
        return 3

    def build(self) -> "Features":
        return Features(self)


@final
class Features(FeatureExtractor, Backbone):  # pyright: ignore[reportIncompatibleMethodOverride] - forward is the first role's
    batch = 32
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        trunk = TRUNKS[config.trunk]()
        self.channels, self.classes, self.size = 3, config.classes, (trunk.side, trunk.side)
        self.steps = nn.Sequential()
        for name, step in trunk.steps.items():
            self.steps.add_module(name, step)
        self.head = trunk.head(config.classes) if config.classes else None
        self.grid, self.resize = trunk.grid, config.resize
        self.resizing = RESIZING[config.resize].format(trunk.side)
        self.ends, self.usual = dict(trunk.layers), trunk.usual
        self.smallest, self.smallest_whole = trunk.least, trunk.least_whole or trunk.least
        self.named = {layer.name: layer for layer in _described(trunk.layers, self.steps)}
        self.layer_widths = tuple(self.named[name].width for name in self.usual)
        self.reduction = self.named[self.usual[-1]].stride
        hidden = [step.out_features for step in self.head or () if isinstance(step, nn.Linear)][:-1]
        self.feature_dim = hidden[-1] if hidden else list(self.named.values())[-1].width
        mean, spread = (torch.tensor(values).view(3, 1, 1) for values in trunk.levels)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    @property
    def min_side(self) -> int:
        return self.smallest

    @property
    def kind(self) -> str:
        return ""  # protocols name the network by its data and its weights

    def misfit(self, size: tuple[int, int], channels: int) -> str:
        if channels in (1, self.channels):
            return ""
        return f"takes grey or coloured images, the model's have {channels} channels"

    def layers(self, images: Images, names: Sequence[str] = ()) -> list[Maps]:
        wanted = [self.ends[self._checked_name(name)] for name in names or self.usual]
        x, found = self._levelled(images, self.min_side), {}
        for name, step in self.steps.named_children():
            x = step(x)
            if name in wanted:
                found[name] = x
            if len(found) == len(set(wanted)):
                break
        return [found[name] for name in wanted]

    def features(self, images: Images) -> Vectors:
        x = self._last(images)
        if self.head is None or self.grid <= 1:
            return x.float().mean(dim=(2, 3))
        last = max(i for i, step in enumerate(self.head) if isinstance(step, nn.Linear))
        return self.head[:last](F.adaptive_avg_pool2d(x, self.grid).flatten(1)).float()

    def scores(self, images: Images) -> Vectors:
        if self.head is None:
            raise SettingError("features: classes = 0 left the head away, so there are no scores; build it with the classes")
        x = self._last(images)
        return self.head(F.adaptive_avg_pool2d(x, self.grid).flatten(1) if self.grid else x).float()

    def resized(self, images: Images) -> Maps:
        """`images` at the size at which they are described."""
        if self.resize == "none" or tuple(images.shape[2:]) == self.size:
            return images
        if self.resize == "tf1":
            return bilinear_from_corner(images, self.size)
        with torch.autocast(images.device.type, enabled=False):
            return F.interpolate(images.float(), self.size, mode="bicubic", antialias=True).clamp(0, 1)

    def _checked_name(self, name: str) -> str:
        """`name`, if a layer is called so. Raises SettingError, naming the layers."""
        if name not in self.named:
            raise SettingError(f"no layer {name!r}{suggest(name, self.named)}; this network has {', '.join(self.named)}")
        return name

    def _last(self, images: Images) -> Maps:
        return self.steps(self._levelled(self.resized(images), self.smallest_whole))

    def _levelled(self, images: Maps, least: int) -> Maps:
        channels, h, w = images.shape[1:]
        if min(h, w) < least:
            raise SettingError(f"images of {size_text((h, w))} pixels are too small for this network; it needs {least} either way")
        if channels not in (1, 3):
            raise SettingError(f"images have {channels} channels; this network looks at grey or coloured ones without opacity")
        return ((images - self.mean) / self.spread).contiguous(memory_format=torch.channels_last)


def _described(ends: Mapping[str, str], steps: nn.Sequential) -> list[Layer]:
    """Each layer with its width, stride and receptive field, found by looking at the steps."""
    names, seen, width = {end: name for name, end in ends.items()}, Sight(), 0
    found = []
    for number, step in steps.named_children():
        seen, width = sight(step, seen), width_of(step, width)
        if number in names:
            found.append(Layer(names[number], width, *seen))
    return found
