"""StyleGAN: style-based generator and discriminator.

Karras et al. 2019 (https://arxiv.org/abs/1812.04948: styles by AdaIN), 2020 (https://arxiv.org/abs/1912.04958: modulated weights, skip
and residual networks) and 2020 (https://arxiv.org/abs/2006.06676: labels).

    z, label ─ mapping ─ w ─ truncation ─> styles, one a layer
    constant ─ layer ──┬─ [layer up ─ layer] x doublings ─┬─ image          styles and noise enter every layer
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
from sfumato.nn.blocks import MinibatchDeviation, even_sides, ladder, signed
from sfumato.nn.style import Conv, Dense, StyledConv, ToImage, unit_mean_square


@settings
class Config:
    """Settings of a StyleGAN: mapping, synthesis and discriminator."""

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
    """Fully connected layers of the mapping network from z to w."""
    mapping_rate: Annotated[float, Range(1e-4, 1)] = 0.01
    """Learning rate of the mapping network as a factor of that of the other weights."""
    style: Literal["modulate", "adain"] = "modulate"
    """Style mechanism: modulated weights (StyleGAN2) or adaptive instance normalisation (StyleGAN)."""
    generator: Literal["skip", "residual", "plain"] = "skip"
    """Generator architecture: sum of images of all sizes (skip), residual or plain."""
    discriminator: Literal["residual", "plain"] = "residual"
    """Discriminator architecture: residual or plain blocks."""
    noise: bool = True
    """Adds noise in every layer, for stochastic details such as hair and grain."""
    layers: Annotated[int, Range(1, 2, "layers")] = 2
    """Layers of the generator at each size."""
    filtered: bool = True
    """Filters when sizes are doubled; nearest neighbours instead converge faster in a short training and leave some grid."""
    discriminator_layers: Annotated[int, Range(1, 2, "layers")] = 2
    """Layers of the discriminator at each size; a single layer has a 4x4 kernel and no filter, so that no detail is lost."""
    width: Annotated[int, Range(1, 1024, "channels")] = 64
    """Channels of the generator's finest maps; doubles with every halving of the size."""
    discriminator_width: Annotated[int, Range(0, 1024, "channels")] = 64
    """Channels of the discriminator's finest maps; doubles with every halving of the size. 0 builds no discriminator, for a network that
    only samples."""
    max_width: Annotated[int, Range(1, 4096, "channels")] = 256
    """Largest number of channels of any map."""
    group: Annotated[int, Range(0, 64, "images")] = 4
    """Images in one group of the minibatch standard deviation; 0 for the whole batch."""
    judging: Literal["mapped", "added"] = "mapped"
    """Label conditioning of the discriminator: inner product of features and mapped label (mapped, as in StyleGAN2-ADA), or a class score
    added to an unconditional score (added; Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637), which all classes train. Only added
    has class scores for objective.classify."""
    judging_layers: Annotated[int, Range(0, 16, "layers")] = 8
    """Fully connected layers that map a label for the discriminator, if judging is mapped."""
    lowest: Annotated[int, Range(2, 64, "pixels")] = 4
    """Smallest height and width of the maps: sizes are halved as long as both sides stay at least this."""
    clamp: Annotated[float, Range(0, 1e6)] = 0.0
    """Clamps maps to this absolute value; 256 for networks trained in half precision, 0 does not clamp."""
    discriminator_clamp: Annotated[float | None, Range(0, 1e6)] = None
    """Clamps maps of the discriminator to this absolute value; equal to clamp if not set."""

    def check(self) -> None:
        if self.judging == "added" and self.judging_layers != 8:
            raise SettingError(f"stylegan: judging_layers = {self.judging_layers} has no effect with judging = added; leave it at 8")

    def larger(self) -> "Config | None":
        """The next larger network: first the published form with filters, noise and two layers a size, then twice the width.

        None if the width is 128 or more.
        """
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
    """StyleGAN: generator and discriminator in one module."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.channels, self.classes = data_shape(config)
        self.latent_dim, self.style_dim = config.latent_dim, config.style_dim
        self.generator = Generator(config)
        self.discriminator = Discriminator(config) if config.discriminator_width else nn.Identity()
        self.styles = self._generator.synthesis.styles

    @property
    def _generator(self) -> "Generator":
        return cast("Generator", self.generator)

    def map_latent(self, z: Vectors, labels: Labels | None = None) -> Styles:
        w = self._generator.mapping(z, labels)
        if self.training:
            self._generator.update_means(w.detach(), labels)
        return w[:, None].expand(-1, self.styles, -1)

    def synthesize(self, styles: Styles, labels: Labels | None = None, options: SynthesisOptions | None = None) -> Images:
        return self._generator.synthesis(styles, options)

    def mean_style(self, labels: Labels | None = None) -> Styles:
        means: Tensor = self._generator.get_buffer("means")
        w = means if labels is None else means[labels if self.classes else torch.zeros_like(labels)]
        return w.mean(dim=0, keepdim=True)[:, None] if labels is None else w[:, None]

    def noise_shapes(self) -> list[tuple[int, int]]:
        return [layer.size for layer in self._generator.synthesis.layers() if layer.noisy]

    def noise(self) -> list[Maps]:
        return [layer.get_buffer("noise")[None, None] for layer in self._generator.synthesis.layers() if layer.noisy]

    def style_affines(self) -> list[tuple[int, Tensor]]:
        return self._generator.synthesis.style_affines()

    def discriminate(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        if not isinstance(self.discriminator, Discriminator):
            raise SettingError(
                "stylegan: no discriminator (discriminator_width = 0), the network only makes images; give 1 or more to train"
            )
        return self.discriminator(images, labels)

    def discriminate_both(
        self, real: Images, fake: Images, labels: Labels | None = None
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        group = self.discriminator.deviation.group if isinstance(self.discriminator, Discriminator) else 0
        if not group or len(real) % group or real.shape != fake.shape:
            return super().discriminate_both(real, fake, labels)
        # One pass: no layer but the deviation compares images, and its groups are of one kind. The gradients of weights cost less.
        both = self.discriminate(torch.cat([real, fake]), None if labels is None else labels.repeat(2))
        logits, scores = both.logit.chunk(2), (None, None) if both.scores is None else both.scores.chunk(2)
        return DiscriminatorOutput(logits[0], scores[0]), DiscriminatorOutput(logits[1], scores[1])


class Generator(nn.Module):
    """Mapping network, synthesis network and the running mean of w for each class."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        _, _, classes = data_shape(config)
        self.mapping = Mapping(config.latent_dim, classes, config.style_dim, layers=config.mapping, rate=config.mapping_rate)
        self.synthesis = Synthesis(config)
        self.register_buffer("means", torch.zeros(max(1, classes), config.style_dim))

    @torch.no_grad()
    def update_means(self, w: Vectors, labels: Labels | None, *, keep: float = 0.995) -> None:
        """Updates the running mean of each class in the batch with the mean of `w`; `keep` is the decay for each batch."""
        means = self.get_buffer("means")
        which = torch.zeros(len(w), dtype=torch.long, device=w.device) if labels is None else labels
        member = torch.zeros(len(means), len(w), device=w.device).index_put_((which, torch.arange(len(w), device=w.device)), torch.ones(()))
        count = member.sum(dim=1, keepdim=True)
        # The decay is scaled by the class's share of the batch, so that rare and frequent classes average over as many images.
        share = 1 - keep ** (count * len(means) / len(w))
        means.lerp_(member @ w.float() / count.clamp_min(1), share)


class Mapping(nn.Module):
    """Mapping network: normalised latent and label to w."""

    def __init__(self, inputs: int, classes: int, outputs: int, *, layers: int, rate: float) -> None:
        super().__init__()
        self.embed = Dense(classes, outputs) if classes else None
        first = inputs + (outputs if classes else 0)
        self.layers = nn.Sequential(*(Dense(first if i == 0 else outputs, outputs, rate=rate, active=True) for i in range(layers)))

    def forward(self, z: Vectors, labels: Labels | None = None) -> Float[Tensor, "n _d"]:
        parts = [unit_mean_square(z.float())] if z.shape[1] else []
        if self.embed is not None:
            assert labels is not None
            parts.append(unit_mean_square(self.embed(nn.functional.one_hot(labels, self.embed.weight.shape[1]).float())))
        return self.layers(torch.cat(parts, dim=1))


class Synthesis(nn.Module):
    """Synthesis network: styles to images."""

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
                    modulation=config.style,
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
        feature_maps = options.feature_maps if options is not None else None
        w = styles.unbind(dim=1)
        x = self.start.expand(styles.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = _run(self.second[0], x, w[0], noise, feature_maps)
        last = len(self.first)
        image = self.images[0](x, w[1]) if self.kind == "skip" or not last else None
        for i in range(1, last + 1):
            # The image of one size and the first layer of the next size share a style.
            after = 1 + self.depth * i
            y = _run(self.first[i - 1], x, w[after - self.depth], noise, feature_maps)
            if self.depth > 1:
                y = _run(self.second[i], y, w[after - 1], noise, feature_maps)
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
        """The styled convolutions, coarse to fine."""
        pairs = itertools.zip_longest(self.second, self.first) if self.depth > 1 else [self.second, self.first]
        return [layer for pair in pairs for layer in pair if isinstance(layer, StyledConv)]

    def style_affines(self) -> list[tuple[int, Tensor]]:
        """Index of the style and matrix of its affine transform, for each layer, in the order of the styles."""
        affines: list[tuple[int, Tensor]] = [(i, layer.affine.weight) for i, layer in enumerate(self.layers())]
        last = len(self.first)
        places = range(last + 1) if self.kind == "skip" else [last]
        affines += [
            (1 + self.depth * i, image.get_submodule("affine").get_parameter("weight"))
            for i, image in zip(places, self.images, strict=True)
        ]
        return sorted(affines, key=lambda pair: pair[0])


class Discriminator(nn.Module):
    """Maps an image, and a label if there are classes, to a logit and class scores."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, channels, classes = data_shape(config)
        sizes = ladder(size, lowest=config.lowest)
        widths = [min(config.discriminator_width << i, config.max_width) for i in range(len(sizes))]
        residual = config.discriminator == "residual"
        gain = math.sqrt(0.5) if residual else 1.0
        clamp = config.clamp if config.discriminator_clamp is None else config.discriminator_clamp
        # Maps at full size cost most and add least in a short training: with one layer a size there are none.
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
            # The class score starts at zero, so that the discriminator first learns to separate real from generated images.
            nn.init.zeros_(self.kinds.weight)
            self.classifier = Dense(width, classes)

    def forward(self, images: Images, labels: Labels | None = None) -> DiscriminatorOutput:
        x = self.stem(signed(images))
        for i, second in enumerate(self.second):
            x = even_sides(x)
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
    output = layer(x, w, next(noise) if noise is not None and layer.noisy else None)
    if feature_maps is not None:
        feature_maps.append(output)
    return output


def _cut(x: Maps, like: Maps) -> Maps:
    return x[:, :, : like.shape[2], : like.shape[3]]
