"""A convolutional classifier: stages of convolutions, pooling between them, a fully connected head (LeCun et al. 1998).

image ─ [convolve x depth ─ pool] x stages ─ (average) ─ hidden ─ features ─ scores
"""

import itertools
from typing import Annotated, Literal, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Vectors, size_text
from sfumato.models.base import data_shape
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.nn.blocks import Activation, activation
from sfumato.nn.norm import BatchNorm


@settings
class Config:
    id = "classifier"
    size: Annotated[tuple[int, int] | None, Range(1, 1024, "pixels")] = None
    """Height and width of the images; taken from the data if not set."""
    channels: Annotated[int | None, Range(1, 16, "channels")] = None
    """1 for grey, 3 for RGB; taken from the data if not set."""
    classes: Annotated[int | None, Range(0, 100_000, "classes")] = None
    """Number of classes; taken from the data if not set."""
    widths: Annotated[tuple[int, ...], Range(1, 4096, "channels")] = (32, 64, 128)
    """Channels of each stage; there is a pooling after every one but the last."""
    depth: Annotated[int, Range(1, 16, "convolutions")] = 2
    """Convolutions per stage."""
    kernel: Annotated[int, Range(1, 15, "pixels, odd")] = 3
    """Side of the convolution kernels."""
    activation: Activation = "relu"
    """Nonlinearity after every convolution and hidden layer."""
    batch_norm: bool = True
    """Normalises over the batch after every convolution."""
    pooling: Literal["max", "average"] = "max"
    """How 2x2 pixels become one between stages."""
    global_pooling: bool = True
    """Averages each map of the last stage to one number, instead of flattening it."""
    hidden: Annotated[tuple[int, ...], Range(1, 65536, "units")] = (128,)
    """Units of the fully connected layers before the scores; the last of them are the features."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.0
    """Share of units dropped before every fully connected layer in training."""

    def check(self) -> None:
        if self.kernel % 2 == 0:
            raise SettingError(f"classifier: kernel = {self.kernel} must be odd")
        if not self.widths or not self.hidden:
            raise SettingError("classifier: widths and hidden need at least one number each")

    def build(self) -> "ConvClassifier":
        return ConvClassifier(self)


@final
class ConvClassifier(Classifier, FeaturePyramid):  # pyright: ignore[reportIncompatibleMethodOverride] - forward is the first role's
    hashed_as = "Classifier"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.channels, self.classes = data_shape(config)
        self.feature_dim = config.hidden[-1]
        self.layer_widths, self.reduction = config.widths, 2 ** (len(config.widths) - 1)
        if self.classes < 2:
            raise SettingError(f"classifier: classes = {self.classes}, must be at least 2; put the images into one folder a class")
        pool = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[config.pooling]
        stages: list[nn.Module] = []
        inputs, (h, w) = self.channels, self.size
        for i, width in enumerate(config.widths):
            if i:
                stages.append(pool(2))
                h, w = h // 2, w // 2
            for _ in range(config.depth):
                stages += _convolve(inputs, width, config)
                inputs = width
        if min(h, w) < 1:
            raise SettingError(f"classifier: {len(config.widths)} stages are too many for images of {size_text(self.size)}")
        self.stages = nn.Sequential(*stages)
        flat = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if config.global_pooling else [nn.Flatten()]
        units = [inputs * (1 if config.global_pooling else h * w), *config.hidden]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(units):
            layers += [nn.Dropout(config.dropout), nn.Linear(a, b), activation(config.activation)]
        self.hidden = nn.Sequential(*flat, *layers)
        self.scores = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(units[-1], self.classes))

    def layers(self, images: Images) -> list[Maps]:
        """What each stage ends with, before the pooling."""
        x, found = _signed(images), []
        for part in self.stages:
            if isinstance(part, nn.MaxPool2d | nn.AvgPool2d):
                found.append(x)
            x = part(x)
        return [*found, x]

    def features(self, images: Images) -> Vectors:
        return self.hidden(self.stages(_signed(images))).float()

    def classify(self, images: Images) -> Vectors:
        return self.scores(self.features(images)).float()


def _signed(images: Images) -> Images:
    """Images in [-1, 1], as the convolutions want them."""
    return (images * 2 - 1).contiguous(memory_format=torch.channels_last)


def _convolve(inputs: int, outputs: int, config: Config) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, config.kernel, padding=config.kernel // 2, bias=not config.batch_norm)
    return [conv, *([BatchNorm(outputs)] if config.batch_norm else []), activation(config.activation)]
