"""Convolutional classifier: stages of convolutions with pooling between them, and a fully connected head (LeCun et al. 1998).

image ─ [convolve x depth ─ pool] x stages ─ (average) ─ hidden ─ features ─ scores
"""

import itertools
from typing import Annotated, Literal, final

from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Vectors, size_text
from sfumato.models.base import data_shape
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.nn.blocks import Activation, activation, signed
from sfumato.nn.norm import BatchNorm


@settings
class Config:
    """Settings of a convolutional classifier."""

    id = "classifier"
    size: Annotated[tuple[int, int] | None, Range(1, 1024, "pixels")] = None
    """Height and width of the images; taken from the data if not set."""
    channels: Annotated[int | None, Range(1, 16, "channels")] = None
    """1 for grey, 3 for RGB; taken from the data if not set."""
    classes: Annotated[int | None, Range(0, 100_000, "classes")] = None
    """Number of classes; taken from the data if not set."""
    widths: Annotated[tuple[int, ...], Range(1, 4096, "channels")] = (32, 64, 128)
    """Channels of each stage; pooling follows every stage but the last."""
    depth: Annotated[int, Range(1, 16, "convolutions")] = 2
    """Convolutions per stage."""
    kernel: Annotated[int, Range(1, 15, "pixels, odd")] = 3
    """Side of the convolution kernels."""
    activation: Activation = "relu"
    """Activation function after every convolution and hidden layer."""
    batch_norm: bool = True
    """Applies batch normalisation after every convolution."""
    pooling: Literal["max", "average"] = "max"
    """Pooling of 2x2 pixels between stages."""
    global_pooling: bool = True
    """Averages each map of the last stage to one number, instead of flattening the map."""
    hidden: Annotated[tuple[int, ...], Range(1, 65536, "units")] = (128,)
    """Units of each fully connected layer before the scores; the last layer gives the features."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.0
    """Dropout rate before every fully connected layer in training."""

    def check(self) -> None:
        if self.kernel % 2 == 0:
            raise SettingError(f"classifier: kernel = {self.kernel} must be odd; give {self.kernel + 1} or {self.kernel - 1}")
        if not self.widths or not self.hidden:
            raise SettingError(f"classifier: widths = {self.widths} and hidden = {self.hidden} need at least one number each")

    def build(self) -> "ConvClassifier":
        return ConvClassifier(self)


@final
class ConvClassifier(Classifier, FeaturePyramid):  # pyright: ignore[reportIncompatibleMethodOverride] - forward is the first role's
    """Convolutional classifier whose stages are also a feature pyramid."""

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
        """The output of each stage before the pooling, finest first."""
        x, maps = signed(images), []
        for part in self.stages:
            if isinstance(part, nn.MaxPool2d | nn.AvgPool2d):
                maps.append(x)
            x = part(x)
        return [*maps, x]

    def features(self, images: Images) -> Vectors:
        return self.hidden(self.stages(signed(images))).float()

    def classify(self, images: Images) -> Vectors:
        return self.scores(self.features(images)).float()


def _convolve(inputs: int, outputs: int, config: Config) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, config.kernel, padding=config.kernel // 2, bias=not config.batch_norm)
    return [conv, *([BatchNorm(outputs)] if config.batch_norm else []), activation(config.activation)]
