"""Deep convolutional GAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434), in the paper's form and in later ones.

The paper's form has batch normalisation, a tanh output and a projected latent. Pixel normalisation, a linear output, residual blocks,
the minibatch standard deviation (Karras et al. 2018, https://arxiv.org/abs/1710.10196) and the projection of labels (Miyato & Koyama
2018, https://arxiv.org/abs/1802.05637) are settings.

    z, label ─ start ─ [blocks ─ up] x stages ─ image
    image ─ stem ─ [down ─ blocks] x stages ─ (deviation) ─ head ─ logit (+ <projection(label), features>)
"""

from typing import Annotated, Literal, final

import torch
from torch import nn

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Labels, Maps, Styles, Vectors
from sfumato.models.base import data_shape
from sfumato.models.roles.style_generator import AdversarialGenerator, DiscriminatorOutput, SynthesisOptions
from sfumato.nn.blocks import (
    GROUP,
    Activation,
    Down,
    LabelEmbedding,
    MinibatchDeviation,
    Norm,
    Residual,
    Up,
    activation,
    ladder,
    norm,
    run_stages,
    signed,
)


@settings
class Config:
    """Settings of a DCGAN: generator and discriminator."""

    id = "dcgan"
    size: Annotated[tuple[int, int] | None, Range(8, 1024, "pixels")] = None
    """Height and width of the images; taken from the data if not set."""
    channels: Annotated[int | None, Range(1, 16, "channels")] = None
    """1 for grey, 3 for RGB, 4 with alpha; taken from the data if not set."""
    classes: Annotated[int | None, Range(0, 100_000, "classes")] = None
    """Number of classes, 0 to ignore labels; taken from the data if not set."""
    latent_dim: Annotated[int, Range(1, 4096, "numbers")] = 64
    """Length of the latent z."""
    width: Annotated[int, Range(1, 1024, "channels")] = 48
    """Channels of the generator's finest hidden maps; doubles with every halving of the size."""
    discriminator_width: Annotated[int, Range(0, 1024, "channels")] = 48
    """Channels of the discriminator's finest hidden maps; doubles with every halving of the size. 0 builds no discriminator, for a network
    that only samples."""
    max_width: Annotated[int, Range(1, 4096, "channels")] = 512
    """Largest number of channels of any map."""
    blocks: Annotated[int, Range(0, 16, "blocks")] = 0
    """Residual blocks at each size of the generator except the finest."""
    discriminator_blocks: Annotated[int, Range(0, 16, "blocks")] = 0
    """Residual blocks at each size of the discriminator except the finest."""
    normalise: Norm = "layer"
    """Normalisation in the generator."""
    discriminator_normalise: Norm = "none"
    """Normalisation in the discriminator; must be none with R1 or a gradient penalty."""
    generator_activation: Activation = "leaky-relu"
    """Activation function in the generator."""
    upsample: Literal["transposed", "nearest", "bilinear"] = "nearest"
    """Upsampling in the generator. Transposed convolutions, as in the paper, leave a grid of 2 and 4 pixels in short trainings."""
    downsample: Literal["strided", "mean"] = "mean"
    """Downsampling in the discriminator. Strided convolutions, as in the paper, teach the generator a grid of 2 and 4 pixels."""
    output: Literal["conv", "up", "up-tanh"] = "conv"
    """Last step of the generator: a 3x3 convolution at full size, or the last upsampling, in the paper's form followed by tanh."""
    lowest: Annotated[int, Range(2, 64, "pixels")] = 4
    """Smallest height and width of the maps: sizes are halved as long as both sides stay at least this."""
    minibatch_deviation: bool = True
    """Adds the standard deviation over a group of images to the discriminator's maps, against mode collapse."""
    init: Literal["default", "normal"] = "default"
    """Initial weights: torch's default, or N(0, 0.02) as in the paper."""

    @property
    def group(self) -> int:
        """Images in one group of the minibatch standard deviation; 0 if the discriminator judges each image alone."""
        return GROUP if self.minibatch_deviation else 0

    def build(self) -> "Dcgan":
        return Dcgan(self)


@final
class Dcgan(AdversarialGenerator):
    """DCGAN: generator and discriminator in one module."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.channels, self.classes = data_shape(config)
        self.latent_dim = self.style_dim = config.latent_dim
        self.generator = Generator(config)
        self.discriminator = Discriminator(config) if config.discriminator_width else nn.Identity()
        if config.init == "normal":
            self.apply(_paper_init)

    def synthesize(self, styles: Styles, labels: Labels | None = None, options: SynthesisOptions | None = None) -> Images:
        return self.generator(styles[:, 0], labels, options.feature_maps if options else None)

    def style_affines(self) -> list[tuple[int, torch.Tensor]]:
        assert isinstance(self.generator, Generator)
        first = self.generator.start[0]
        assert isinstance(first, nn.Linear)
        return [(0, first.weight[:, : self.latent_dim])]

    def discriminate(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        if not isinstance(self.discriminator, Discriminator):
            raise SettingError("dcgan: no discriminator (discriminator_width = 0), the network only makes images; give 1 or more to train")
        return self.discriminator(images, labels)


class Generator(nn.Module):
    """Maps a latent, and a label if there are classes, to an image."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        *finer, start = ladder(size, lowest=config.lowest)
        fine = [min(config.width << i, config.max_width) for i in range(len(finer) + 1)]
        widths = [channels, *fine[:-1]] if config.output != "conv" and finer else fine
        biased = config.normalise != "batch"
        self.embedding = LabelEmbedding(classes, config.latent_dim) if classes else None
        self.start = nn.Sequential(
            nn.Linear(config.latent_dim * (2 if classes else 1), widths[-1] * start[0] * start[1], bias=biased),
            nn.Unflatten(1, (widths[-1], *start)),
        )
        stages = []
        for i in reversed(range(len(finer))):
            stages += [Residual(widths[i + 1], normalise=config.normalise, act=config.generator_activation) for _ in range(config.blocks)]
            stages += [norm(config.normalise, widths[i + 1]), activation(config.generator_activation)]
            stages += [Up(widths[i + 1], widths[i], finer[i], method=config.upsample, bias=biased)]
        if config.output == "conv" or not finer:
            stages += [norm(config.normalise, widths[0]), activation(config.generator_activation)]
            stages += [nn.Conv2d(widths[0], channels, 3, 1, 1)]
        self.stages = nn.Sequential(*stages, *([nn.Tanh()] if config.output == "up-tanh" else []))

    def forward(self, z: Vectors, labels: Labels | None = None, feature_maps: list[Maps] | None = None) -> Images:
        if self.embedding is not None:
            assert labels is not None
            z = torch.cat([z, self.embedding(labels)], dim=1)
        start = self.start(z).contiguous(memory_format=torch.channels_last)
        return run_stages(self.stages, start, feature_maps).float() / 2 + 0.5


class Discriminator(nn.Module):
    """Maps an image, and a label if there are classes, to a logit and class scores."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        *finer, last = ladder(size, lowest=config.lowest)
        widths = [min(config.discriminator_width << i, config.max_width) for i in range(max(1, len(finer)))]
        kind = config.discriminator_normalise
        stages: list[nn.Module] = [] if finer else [nn.Conv2d(channels, widths[0], 3, 1, 1), activation("leaky-relu")]
        for i in range(len(finer)):
            first = i == 0
            stages += [Down(channels if first else widths[i - 1], widths[i], method=config.downsample, bias=first or kind != "batch")]
            stages += [Residual(widths[i], normalise=kind, act="leaky-relu") for _ in range(config.discriminator_blocks)]
            stages += [*([] if first else [norm(kind, widths[i])]), activation("leaky-relu")]
        self.stages = nn.Sequential(*stages)
        width, area = widths[-1], last[0] * last[1]
        extra = 1 if config.minibatch_deviation else 0
        self.deviation = MinibatchDeviation() if extra else nn.Identity()
        hidden = [nn.Conv2d(width + extra, width, 3, 1, 1), activation("leaky-relu")] if extra else []
        self.head = nn.Sequential(*hidden, nn.Flatten())
        self.score = nn.Linear(width * area, 1)
        self.projection = nn.Embedding(classes, width * area) if classes else None
        self.classifier = nn.Linear(width * area, classes) if classes else None
        if self.projection is not None:
            nn.init.zeros_(self.projection.weight)

    def forward(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        features = self.head(self.deviation(self.stages(signed(images)))).float()
        # Losses depend on small differences between logits that can be far from zero: bf16 would round them away.
        with torch.autocast(features.device.type, enabled=False):
            logit = self.score(features).squeeze(1)
            if self.projection is None or self.classifier is None:
                return DiscriminatorOutput(logit, None)
            assert labels is not None
            return DiscriminatorOutput(logit + (self.projection(labels) * features).sum(1), self.classifier(features))


def _paper_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
