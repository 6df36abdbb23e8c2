"""The style-based generator and its discriminator.

Karras et al. 2019 (https://arxiv.org/abs/1812.04948: style by AdaIN), 2020 (https://arxiv.org/abs/1912.04958: by modulated weights,
skip and residual networks) and 2020 (https://arxiv.org/abs/2006.06676: labels).

    z, label ─ mapping ─ w ─ truncation ─> styles, one a layer
    constant ─ layer ──┬─ [layer up ─ layer] x doublings ─┬─ image          styles and noise go into every layer
                       └─ to image ─ up ── + ─────────────┘                 skip: a sum of images
    image ─ from image ─ [conv ─ conv down] x halvings ─ deviation ─ conv ─ dense ─ logit (with labels: <dense, mapping(label)>, or added)
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Literal, cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Labels, Maps, Styles, Vectors
from sfumato.models.base import data_shape
from sfumato.models.roles.style_generator import AdversarialGenerator, DiscriminatorOutput, SynthesisOptions
from sfumato.nn.binomial import doubled
from sfumato.nn.blocks import MinibatchDeviation, ladder
from sfumato.nn.style import Conv, Dense, StyledConv, ToImage, unit


@settings
class Config:
    id = "stylegan"
    size: Annotated[tuple[int, int] | None, Range(8, 1024, "pixels")] = None
    """Height and width of the images; taken from the data if not set."""
    channels: Annotated[int | None, Range(1, 16, "channels")] = None
    """1 for grey, 3 for RGB, 4 with alpha; taken from the data if not set."""
    classes: Annotated[int | None, Range(0, 100_000, "classes")] = None
    """Number of classes, 0 to ignore labels; taken from the data if not set."""
    latent_dim: Annotated[int, Range(1, 4096, "numbers")] = 128
    """Length of the latent z."""
    style_dim: Annotated[int, Range(1, 4096, "numbers")] = 128
    """Length of a style w."""
    mapping: Annotated[int, Range(1, 16, "layers")] = 4
    """Layers from z to w."""
    mapping_rate: Annotated[float, Range(1e-4, 1)] = 0.01
    """How fast they move, compared with the other weights."""
    style: Literal["modulate", "adain"] = "modulate"
    """How a style steers a layer: the second StyleGAN's way or the first's."""
    generator: Literal["skip", "residual", "plain"] = "skip"
    """Whether the image is a sum of images of all sizes, the end of a residual network, or the end of a plain one."""
    discriminator: Literal["residual", "plain"] = "residual"
    """Whether what halves the size is a residual block."""
    noise: bool = True
    """Whether each layer adds noise, for what is random in an image: hairs, grains."""
    layers: Annotated[int, Range(1, 2, "layers")] = 2
    """Layers of the generator at each size."""
    filtered: bool = True
    """Whether sizes are doubled with a filter; by nearest neighbours a short training comes farther, and leaves some grid."""
    discriminator_layers: Annotated[int, Range(1, 2, "layers")] = 2
    """Layers of the discriminator at each size; one has a 4x4 kernel and no filter, so that nothing of the image is kept from it."""
    width: Annotated[int, Range(1, 1024, "channels")] = 64
    """Channels of the generator's finest maps; doubles with every halving of the size."""
    discriminator_width: Annotated[int, Range(0, 1024, "channels")] = 64
    """Channels of the discriminator's finest maps; doubles likewise. 0 leaves it out, in a network only to sample from."""
    max_width: Annotated[int, Range(1, 4096, "channels")] = 256
    """No map has more channels than this."""
    group: Annotated[int, Range(0, 64, "images")] = 4
    """How many images the discriminator sees the deviation of; 0 for all of a batch."""
    judging: Literal["mapped", "added"] = "mapped"
    """What a label does to a verdict: the image is compared with the mapped label alone (the second StyleGAN with labels), or that is added
    to a score of the image by itself (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637), which all classes teach. Only the latter
    also tells which class it sees, for `objective.classify`."""
    judging_layers: Annotated[int, Range(0, 16, "layers")] = 8
    """Layers from a label to what the discriminator compares an image with, if `mapped`."""
    lowest: Annotated[int, Range(2, 64, "pixels")] = 4
    """Sizes are halved for as long as both sides stay at least this."""
    clamp: Annotated[float, Range(0, 1e6)] = 0.0
    """Maps are held within this; networks trained in half precision want 256, 0 leaves them."""
    discriminator_clamp: Annotated[float | None, Range(0, 1e6)] = None
    """The same for the discriminator's maps; those are held like the generator's if not set."""

    def check(self) -> None:
        if self.judging == "added" and self.judging_layers != 8:
            raise SettingError(f"stylegan: judging_layers = {self.judging_layers} has no effect where judging is added")

    def larger(self) -> "Config | None":
        """The next size: the published form first, with filters, noise and two layers a size; then twice the width. None at the end."""
        if self.layers < 2 or self.discriminator_layers < 2:
            forms = {"generator": "skip", "discriminator": "residual"}
            return dataclasses.replace(self, layers=2, discriminator_layers=2, noise=True, filtered=True, **forms)
        if self.width >= 128:
            return None
        wider = {name: 2 * getattr(self, name) for name in ("width", "discriminator_width")}
        return dataclasses.replace(self, **wider, max_width=min(512, 2 * self.max_width))

    def build(self) -> "StyleGan":
        return StyleGan(self)


@final
class StyleGan(AdversarialGenerator):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.channels, self.classes = data_shape(config)
        self.latent_dim, self.style_dim = config.latent_dim, config.style_dim
        self.generator = Generator(config)
        self.discriminator = Discriminator(config) if config.discriminator_width else nn.Identity()
        self.styles = self._painter.synthesis.styles

    @property
    def _painter(self) -> "Generator":
        return cast("Generator", self.generator)

    def map_latent(self, z: Vectors, labels: Labels | None = None) -> Styles:
        w = self._painter.mapping(z, labels)
        if self.training:
            self._painter.follow(w.detach(), labels)
        return w[:, None].expand(-1, self.styles, -1)

    def synthesize(self, styles: Styles, labels: Labels | None = None, options: SynthesisOptions | None = None) -> Images:
        return self._painter.synthesis(styles, options)

    def mean_style(self, labels: Labels | None = None) -> Styles:
        means: Tensor = self._painter.get_buffer("means")
        w = means if labels is None else means[labels if self.classes else torch.zeros_like(labels)]
        return w.mean(dim=0, keepdim=True)[:, None] if labels is None else w[:, None]

    def noise_shapes(self) -> list[tuple[int, int]]:
        return [layer.size for layer in self._painter.synthesis.layers() if layer.noisy]

    def noise(self) -> list[Maps]:
        return [layer.get_buffer("noise")[None, None] for layer in self._painter.synthesis.layers() if layer.noisy]

    def style_affines(self) -> list[tuple[int, Tensor]]:
        return self._painter.synthesis.style_affines()

    def discriminate(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        if not isinstance(self.discriminator, Discriminator):
            raise SettingError("this network has no discriminator (model.discriminator_width = 0): it makes images and cannot be trained")
        return self.discriminator(images, labels)


class Generator(nn.Module):
    """Mapping and synthesis, and the running mean of w for each class."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        _, _, classes = data_shape(config)
        self.mapping = Mapping(config.latent_dim, classes, config.style_dim, layers=config.mapping, rate=config.mapping_rate)
        self.synthesis = Synthesis(config)
        self.register_buffer("means", torch.zeros(max(1, classes), config.style_dim))

    @torch.no_grad()
    def follow(self, w: Vectors, labels: Labels | None, *, keep: float = 0.995) -> None:
        """Moves the mean of each class that is there towards that of `w`, by the share that 0.995 a batch leaves."""
        means = self.get_buffer("means")
        which = torch.zeros(len(w), dtype=torch.long, device=w.device) if labels is None else labels
        member = torch.zeros(len(means), len(w), device=w.device).index_put_((which, torch.arange(len(w), device=w.device)), torch.ones(()))
        count = member.sum(dim=1, keepdim=True)
        # A class that is in one batch of ten has moved as far after ten batches as one that is in all.
        share = 1 - keep ** (count * len(means) / len(w))
        means.lerp_(member @ w.float() / count.clamp_min(1), share)


class Mapping(nn.Module):
    """From a latent of unit length, and a label, to w."""

    def __init__(self, inputs: int, classes: int, outputs: int, *, layers: int, rate: float) -> None:
        super().__init__()
        self.embed = Dense(classes, outputs) if classes else None
        first = inputs + (outputs if classes else 0)
        self.layers = nn.Sequential(*(Dense(first if i == 0 else outputs, outputs, rate=rate, active=True) for i in range(layers)))

    def forward(self, z: Vectors, labels: Labels | None = None) -> Float[Tensor, "n _d"]:
        parts = [unit(z.float())] if z.shape[1] else []
        if self.embed is not None:
            assert labels is not None
            parts.append(unit(self.embed(nn.functional.one_hot(labels, self.embed.weight.shape[1]).float())))
        return self.layers(torch.cat(parts, dim=1))


class Synthesis(nn.Module):
    """From styles to images."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, _ = data_shape(config)
        sizes = ladder(size, lowest=config.lowest)[::-1]
        widths = [min(config.width << i, config.max_width) for i in range(len(sizes))][::-1]
        self.kind, self.depth, self.styles = config.generator, config.layers, 2 + config.layers * (len(sizes) - 1)
        self.start = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.first, self.second, self.shortcuts, self.images = (nn.ModuleList() for _ in range(4))
        for i, (side, width) in enumerate(zip(sizes, widths, strict=True)):
            residual = math.sqrt(0.5) if config.generator == "residual" and i else 1.0

            def layer(inputs: int, *, up: bool, gain: float, side: tuple[int, int] = side, width: int = width) -> StyledConv:
                return StyledConv(
                    inputs,
                    width,
                    config.style_dim,
                    side,
                    up=up,
                    how=config.style,
                    gain=gain,
                    clamp=config.clamp,
                    noisy=config.noise,
                    nearest=up and not config.filtered,
                )

            if i:
                self.first.append(layer(widths[i - 1], up=True, gain=1.0 if config.layers > 1 else residual))
            if i and config.generator == "residual":
                self.shortcuts.append(Conv(widths[i - 1], width, 1, active=False, gain=residual))
            if i == 0 or config.layers > 1:
                self.second.append(layer(width, up=False, gain=residual))
            if config.generator == "skip" or i == len(sizes) - 1:
                self.images.append(ToImage(width, channels, config.style_dim, clamp=config.clamp))

    def forward(self, styles: Styles, options: SynthesisOptions | None = None) -> Images:
        noise = iter(options.noise) if options is not None and options.noise is not None else None
        seen = options.feature_maps if options is not None else None
        w = styles.unbind(dim=1)
        x = self.start.expand(len(styles), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = _run(self.second[0], x, w[0], noise, seen)
        last = len(self.first)
        image = self.images[0](x, w[1]) if self.kind == "skip" or not last else None
        for i in range(1, last + 1):
            # The image of one size and the first layer of the next are steered by the same style.
            after = 1 + self.depth * i
            y = _run(self.first[i - 1], x, w[after - self.depth], noise, seen)
            if self.depth > 1:
                y = _run(self.second[i], y, w[after - 1], noise, seen)
            if self.kind == "residual":
                y = y + _cut(doubled(self.shortcuts[i - 1](x)), y)
            x = y
            if image is not None:
                image = _cut(doubled(image), x) + self.images[i](x, w[after])
            elif i == last:
                image = self.images[0](x, w[after])
        assert image is not None
        return image.float() / 2 + 0.5

    def layers(self) -> list[StyledConv]:
        """The layers that a style steers and that may add noise, coarse to fine."""
        pairs = itertools.zip_longest(self.second, self.first) if self.depth > 1 else [self.second, self.first]
        return [layer for pair in pairs for layer in pair if isinstance(layer, StyledConv)]

    def style_affines(self) -> list[tuple[int, Tensor]]:
        """For each layer, which style it listens to, and the matrix by which it does."""
        found: list[tuple[int, Tensor]] = [(i, layer.affine.weight) for i, layer in enumerate(self.layers())]
        last = len(self.first)
        places = range(last + 1) if self.kind == "skip" else [last]
        found += [
            (1 + self.depth * i, image.get_submodule("affine").get_parameter("weight"))
            for i, image in zip(places, self.images, strict=True)
        ]
        return sorted(found, key=lambda pair: pair[0])


class Discriminator(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        sizes = ladder(size, lowest=config.lowest)
        widths = [min(config.discriminator_width << i, config.max_width) for i in range(len(sizes))]
        residual = config.discriminator == "residual"
        gain = math.sqrt(0.5) if residual else 1.0
        clamp = config.clamp if config.discriminator_clamp is None else config.discriminator_clamp
        # Maps of the image's own size cost a short training most and bring it least: with one layer a size there are none.
        direct = config.discriminator_layers == 1 and len(sizes) > 1
        self.stem = nn.Identity() if direct else Conv(channels, widths[0], 1, clamp=clamp)
        self.first, self.second, self.shortcuts = (nn.ModuleList() for _ in range(3))
        for inputs, outputs in itertools.pairwise([channels if direct else widths[0], *widths[1:]]):
            if config.discriminator_layers > 1:
                self.first.append(Conv(inputs, inputs, 3, clamp=clamp))
            side = 4 if direct else 3
            self.second.append(Conv(inputs, outputs, side, down=True, gain=gain, clamp=clamp))
            if residual:
                self.shortcuts.append(Conv(inputs, outputs, 1, down=True, active=False, gain=gain))
        width, (h, w) = widths[-1], sizes[-1]
        self.deviation = MinibatchDeviation(config.group)
        self.conv = Conv(width + 1, width, 3, clamp=clamp)
        self.dense = Dense(width * h * w, width, active=True)
        mapped = bool(classes) and config.judging == "mapped"
        self.score = Dense(width, width if mapped else 1)
        self.mapping = self.kinds = self.classifier = None
        if mapped:
            self.mapping = Mapping(0, classes, width, layers=config.judging_layers, rate=config.mapping_rate)
        elif classes:
            self.kinds = Dense(width, classes)
            # Until it has learned what is real at all, no class is told from another.
            nn.init.zeros_(self.kinds.weight)
            self.classifier = Dense(width, classes)

    def forward(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        x = self.stem((images * 2 - 1).contiguous(memory_format=torch.channels_last))
        for i, second in enumerate(self.second):
            x = _even(x)
            y = second(self.first[i](x) if self.first else x)
            x = y + self.shortcuts[i](x).to(y.dtype) if self.shortcuts else y
        features = self.dense(self.conv(self.deviation(x)).flatten(1))
        score = self.score(features)
        if self.kinds is not None and self.classifier is not None:
            assert labels is not None
            kind = self.kinds(features).gather(1, labels[:, None])
            return DiscriminatorOutput((score + kind).squeeze(1), self.classifier(features))
        if self.mapping is None:
            return DiscriminatorOutput(score.squeeze(1), None)
        assert labels is not None
        mapped = self.mapping(score.new_empty(len(score), 0), labels)
        return DiscriminatorOutput((score * mapped).sum(dim=1) / math.sqrt(score.shape[1]), None)


def _run(layer: nn.Module, x: Maps, w: Vectors, noise: Iterator[Maps] | None, feature_maps: list[Maps] | None) -> Maps:
    assert isinstance(layer, StyledConv)
    made = layer(x, w, next(noise) if noise is not None and layer.noisy else None)
    if feature_maps is not None:
        feature_maps.append(made)
    return made


def _even(x: Maps) -> Maps:
    """An odd side is extended by its last row or column, so that h becomes ceil(h / 2)."""
    h, w = x.shape[2:]
    return nn.functional.pad(x, (0, w % 2, 0, h % 2), mode="replicate") if h % 2 or w % 2 else x


def _cut(x: Maps, like: Maps) -> Maps:
    return x[:, :, : like.shape[2], : like.shape[3]]
