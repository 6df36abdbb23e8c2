"""Feature extractors: ImageNet classification networks for metrics, losses and feature visualisation (layers in `nn/backbones.py`).

    images ─ resize ─ normalise ─ steps ─┬─ mean ─ features
                                         └─ head ─ scores
    images of any size ── normalise ─ steps, one by one ─ layers

Feature vectors are those of the literature: 2048 means of the last maps of `inception` for the FID (Heusel et al. 2017), the second
hidden layer of `vgg16` for precision and recall (Kynkäänniemi et al. 2019), and the means of the last maps for the other networks.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.catalog import suggest
from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, Maps, Vectors, size_text
from sfumato.models.roles.base import Layer
from sfumato.models.roles.feature_extractor import Backbone, FeatureExtractor
from sfumato.models.roles.graph import ExportGraph, GraphInput
from sfumato.nn.backbones import BACKBONES
from sfumato.nn.branches import ReceptiveField, output_channels, receptive_field
from sfumato.nn.resample import bilinear_from_corner

RESIZING: dict[str, str] = {"bicubic": "bicubic, antialiased, {0}", "tf1": "bilinear of TensorFlow 1, not antialiased, {0}", "none": "none"}


@settings
class Config:
    """Settings of a feature extractor."""

    id = "features"
    trunk: Literal["squeezenet", "alexnet", "vgg16", "googlenet", "inception"] = "squeezenet"
    """Backbone network."""
    classes: Annotated[int, Range(0, 100_000, "classes")] = 1000
    """Classes of the classification head; 0 builds no head."""
    resize: Literal["bicubic", "tf1", "none"] = "bicubic"
    """Resizing to the size of the training images before features and scores are computed: antialiased bicubic as in Pillow, clamped to
    [0, 1]; bilinear as in TensorFlow 1 and the original FID; or none."""

    @property
    def size(self) -> None:
        """None: images may have any size."""

    @property
    def channels(self) -> int:
        """3: RGB; grey images are repeated over the channels."""
        return 3

    def build(self) -> "Features":
        return Features(self)


@final
class Features(FeatureExtractor, Backbone):  # pyright: ignore[reportIncompatibleMethodOverride] - forward is the first role's
    """ImageNet backbone as a feature extractor, with layers that are read by name."""

    batch = 32
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        trunk = BACKBONES[config.trunk]()
        self.channels, self.classes, self.size = 3, config.classes, (trunk.side, trunk.side)
        self.steps = nn.Sequential()
        for name, step in trunk.steps.items():
            self.steps.add_module(name, step)
        self.head = trunk.head(config.classes) if config.classes else None
        self.grid, self.resize = trunk.grid, config.resize
        self.resizing = RESIZING[config.resize].format(trunk.side)
        self.ends, self.default_layers = dict(trunk.layers), trunk.default_layers
        self.smallest, self.smallest_whole = trunk.min_side, trunk.min_side_whole or trunk.min_side
        self.named = {layer.name: layer for layer in _layer_table(trunk.layers, self.steps)}
        self.layer_widths = tuple(self.named[name].width for name in self.default_layers)
        self.reduction = self.named[self.default_layers[-1]].stride
        hidden = [step.out_features for step in self.head or () if isinstance(step, nn.Linear)][:-1]
        self.feature_dim = hidden[-1] if hidden else list(self.named.values())[-1].width
        mean, spread = (torch.tensor(values).view(3, 1, 1) for values in trunk.normalization)
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
        return f"takes grey or coloured images; these have {channels} channels"

    def layers(self, images: Images, names: Sequence[str] = ()) -> list[Maps]:
        wanted = [self.ends[self._checked_name(name)] for name in names or self.default_layers]
        x, maps = self._normalized(images, self.min_side), {}
        for name, step in self.steps.named_children():
            x = step(x)
            if name in wanted:
                maps[name] = x
            if len(maps) == len(set(wanted)):
                break
        return [maps[name] for name in wanted]

    def features(self, images: Images) -> Vectors:
        x = self._last(images)
        if self.head is None or self.grid <= 1:
            return x.float().mean(dim=(2, 3))
        last = max(i for i, step in enumerate(self.head) if isinstance(step, nn.Linear))
        return self.head[:last](F.adaptive_avg_pool2d(x, self.grid).flatten(1)).float()

    def export_graphs(self) -> dict[str, ExportGraph]:
        images = GraphInput("images", torch.rand(2, self.channels, *self.size), {0: "n"}, about="images in [0, 1], sRGB")
        facts: dict[str, Json] = {"channels": self.channels, "size": list(self.size), "feature_dim": self.feature_dim, "kind": self.kind}
        return {"features": ExportGraph(role="feature_extractor", module=self, inputs=(images,), outputs=("features",), facts=facts)}

    def scores(self, images: Images) -> Vectors:
        if self.head is None:
            raise SettingError("features: classes = 0, so the network has no head and no scores; set classes to those of the weights")
        x = self._last(images)
        return self.head(F.adaptive_avg_pool2d(x, self.grid).flatten(1) if self.grid else x).float()

    def resized(self, images: Images) -> Maps:
        """`images` at the size at which features and scores are computed."""
        if self.resize == "none" or tuple(images.shape[2:]) == self.size:
            return images
        if self.resize == "tf1":
            return bilinear_from_corner(images, self.size)
        with torch.autocast(images.device.type, enabled=False):
            return F.interpolate(images.float(), self.size, mode="bicubic", antialias=True).clamp(0, 1)

    def _checked_name(self, name: str) -> str:
        """`name`, if a layer has that name. Raises SettingError with the names of the layers otherwise."""
        if name not in self.named:
            raise SettingError(f"no layer {name!r}{suggest(name, self.named)}; this network has {', '.join(self.named)}")
        return name

    def _last(self, images: Images) -> Maps:
        return self.steps(self._normalized(self.resized(images), self.smallest_whole))

    def _normalized(self, images: Maps, least: int) -> Maps:
        channels, h, w = images.shape[1:]
        if min(h, w) < least:
            raise SettingError(f"images of {size_text((h, w))} pixels are too small for this network; both sides must be {least} or more")
        if channels not in (1, 3):
            raise SettingError(f"images have {channels} channels; this network takes 1 (grey) or 3 (RGB), without opacity")
        return ((images - self.mean) / self.spread).contiguous(memory_format=torch.channels_last)


def _layer_table(ends: Mapping[str, str], steps: nn.Sequential) -> list[Layer]:
    """Each layer with its width, stride and receptive field, computed from the steps."""
    names, geometry, width = {end: name for name, end in ends.items()}, ReceptiveField(), 0
    layers = []
    for number, step in steps.named_children():
        geometry, width = receptive_field(step, geometry), output_channels(step, width)
        if number in names:
            layers.append(Layer(names[number], width, *geometry))
    return layers
