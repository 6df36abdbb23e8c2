"""Mean-scale hyperprior with a checkerboard context, for all rates in one network.

    images ─┬─ block transform ─┬─ + ─ x gain(level) ─ y ─ round around the mean ─ y^ ─ x gain'(level) ─┬─ block transform ─┬─ + ─ images
            └─ analysis ────────┘                      │                 │                              └─ synthesis ───────┘
                                         hyper_analysis               parameters (mean, scale)
                                                       │                 │            │
                                                       z ─ round ─ hyper_synthesis    context of the first half of the positions

Minnen et al. 2018, https://arxiv.org/abs/1809.02736 (mean and scale); He et al. 2021, https://arxiv.org/abs/2103.15306 (checkerboard);
Cui et al. 2021, https://arxiv.org/abs/2003.02012 (gains); Minnen & Singh 2020, https://arxiv.org/abs/2007.08739 (noise for the bits,
rounding for the decoder). The block transform is a cosine transform of squares of 16 pixels and the other branches begin at zero, so that
training begins at a codec that works. It is not learned: each step of an optimizer would move the mean of a square, which is by far the
largest number, by a fraction of a symbol in all channels. For the same reason networks see latents in units of their usual size
(`nn/spread.py`). The block transform stays in float32: bf16 has too few digits for the mean of a square.
"""

import math
import zlib
from collections.abc import Callable
from typing import Annotated, final

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, Maps, PerImage
from sfumato.models.roles.codec import QUALITIES, Codec, EntropyModel, Estimate, Prediction, Quantised, Symbols
from sfumato.nn import entropy
from sfumato.nn.cosine import cosine_matrix
from sfumato.nn.entropy import FactorisedDensity, gaussian_bits, gaussian_tables, scale_of, straight_round
from sfumato.nn.exact import MOST, ONE, ExactConvolution, Whole, settled, whole_weights
from sfumato.nn.spread import Spread

LEVELS = 8
"""Levels at which gains are learned; between them their logarithms are interpolated."""
STRIDE, HYPER_STRIDE = 16, 4
_PIXEL = 0.125
"""Pixels are the output of the synthesis times this: a step of an optimizer changes them by a fraction of a grey level."""
_SCALE_SHIFT = 3
"""Scales are the output of the network times 8, so that weights stay small."""


@settings
class Config:
    """Settings of a hyperprior codec."""

    id = "hyperprior"
    fine: Annotated[int, Range(8, 512, "channels")] = 64
    """Channels at a quarter of the sides."""
    middle: Annotated[int, Range(8, 512, "channels")] = 120
    """Channels at an eighth of the sides."""
    coarse: Annotated[int, Range(8, 1024, "channels")] = 144
    """Channels at a sixteenth of the sides."""
    blocks: Annotated[tuple[int, int, int], Range(0, 16, "blocks")] = (1, 2, 1)
    """Residual blocks at each of the three."""
    latent: Annotated[int, Range(8, 768, "channels")] = 320
    """Channels of the latent."""
    hyper: Annotated[int, Range(8, 512, "channels")] = 96
    """Channels of the hidden maps of the hyperprior."""
    hyper_latent: Annotated[int, Range(1, 256, "channels")] = 64
    """Channels of the hyperlatent."""
    weights: Annotated[tuple[float, float], Range(1e-6, 10.0)] = (0.001, 0.1)
    """Weight of the squared error, in squared grey levels, against bits per pixel: at quality 1 and at quality 100."""

    def build(self) -> "Hyperprior":
        return Hyperprior(self)


class Gain(nn.Module):
    """A factor for each channel, which depends on the level."""

    def __init__(self, channels: int, start: Float[Tensor, " levels"] | None = None) -> None:
        super().__init__()
        begin = torch.zeros(LEVELS) if start is None else start
        self.log_factor = nn.Parameter(begin[:, None].repeat(1, channels))

    def forward(self, shares: Float[Tensor, "n levels"]) -> Maps:
        """Factors of shape (n, channels, 1, 1), for the `shares` that the learned levels have."""
        with torch.autocast(shares.device.type, enabled=False):
            return (shares @ self.log_factor).exp()[:, :, None, None]


class Block(nn.Module):
    """Two convolutions around a ReLU and a gain, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.gain = Gain(width)
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, x: Maps, shares: Float[Tensor, "n levels"]) -> Maps:
        hidden = F.relu(self.first(x))
        return x + self.second(hidden * self.gain(shares).to(hidden.dtype))


class Stage(nn.Module):
    """Residual blocks at one size."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(count))

    def forward(self, x: Maps, shares: Float[Tensor, "n levels"]) -> Maps:
        for block in self.blocks:
            x = block(x, shares)
        return x


class Analysis(nn.Module):
    """Images to the part of the latent that no block transform gives."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.stem = nn.Conv2d(48, config.fine, 1)
        self.fine, self.middle = Stage(config.fine, config.blocks[0]), Stage(config.middle, config.blocks[1])
        self.coarse = Stage(config.coarse, config.blocks[2])
        self.to_middle = nn.Conv2d(config.fine, config.middle, 2, 2)
        self.to_coarse = nn.Conv2d(config.middle, config.coarse, 2, 2)
        self.output = nn.Conv2d(config.coarse, config.latent, 1)
        _silence(self.output)

    def forward(self, signed: Maps, shares: Float[Tensor, "n levels"]) -> Maps:
        x = self.stem(F.pixel_unshuffle(signed, 4).contiguous(memory_format=torch.channels_last))
        x = self.to_middle(self.fine(x, shares))
        x = self.to_coarse(self.middle(x, shares))
        return self.output(F.relu(self.coarse(x, shares)))


def _silence(layer: nn.Conv2d) -> None:
    """Makes the output of a layer zero."""
    for each in layer.parameters():
        nn.init.zeros_(each)


class Synthesis(nn.Module):
    """A latent to the part of the images that no block transform gives."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.stem = nn.Conv2d(config.latent, config.coarse, 1)
        self.coarse, self.middle = Stage(config.coarse, config.blocks[2]), Stage(config.middle, config.blocks[1])
        self.fine = Stage(config.fine, config.blocks[0])
        self.to_middle = nn.Conv2d(config.coarse, config.middle * 4, 1)
        self.to_fine = nn.Conv2d(config.middle, config.fine * 4, 1)
        self.output = nn.Conv2d(config.fine, 48, 1)
        _silence(self.output)

    def forward(self, latent: Maps, shares: Float[Tensor, "n levels"]) -> Maps:
        x = self.coarse(self.stem(latent.contiguous(memory_format=torch.channels_last)), shares)
        x = self.middle(F.pixel_shuffle(self.to_middle(x), 2), shares)
        x = self.fine(F.pixel_shuffle(self.to_fine(x), 2), shares)
        return F.pixel_shuffle(self.output(F.relu(x)).float() * _PIXEL, 4)


class HyperAnalysis(nn.Module):
    """A latent to its hyperlatent."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hyper
        self.layers = nn.Sequential(
            nn.Conv2d(config.latent, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 2, 2),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, config.hyper_latent, 2, 2),
        )

    def forward(self, latent: Maps) -> Maps:
        return self.layers(latent.sign() * torch.log1p(latent.abs()))


class HyperSynthesis(nn.Module):
    """A hyperlatent to features of the latent. It is also computed in whole numbers, so it has ReLU and no other function."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hyper
        self.first = nn.Conv2d(config.hyper_latent, width, 3, 1, 1)
        self.level = nn.Parameter(torch.zeros(LEVELS, width))
        self.up1, self.second = nn.Conv2d(width, width * 4, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.up2, self.third = nn.Conv2d(width, width * 4, 1), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, hyper: Maps, shares: Float[Tensor, "n levels"]) -> Maps:
        x = F.relu(self.first(hyper) + (shares @ self.level)[:, :, None, None])
        x = F.relu(self.second(F.relu(F.pixel_shuffle(self.up1(x), 2))))
        return F.relu(self.third(F.relu(F.pixel_shuffle(self.up2(x), 2))))


class PredictionNetwork(nn.Module):
    """Features and context to mean and scale of each symbol, all in units of the usual size of the symbol."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.latent = config.latent
        self.context = nn.Conv2d(config.latent, config.hyper, 5, 1, 2)
        self.hidden = nn.Conv2d(2 * config.hyper, 2 * config.hyper + 64, 1)
        self.output = nn.Conv2d(2 * config.hyper + 64, 2 * config.latent, 1)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.context.weight.mul_(self.taps)

    @property
    def taps(self) -> Tensor:
        """1 where the context has positions of the first half, around one of the second."""
        places = torch.arange(5, device=self.context.weight.device)
        return ((places[:, None] + places) % 2 == 1).float()

    def forward(self, features: Maps, latent: Maps | None) -> tuple[Maps, Maps]:
        if latent is None:
            context = torch.zeros_like(features)
        else:
            context = F.relu(F.conv2d(latent, self.context.weight * self.taps, self.context.bias, padding=2))
        mean, scale = self.output(F.relu(self.hidden(torch.cat([features, context], dim=1)))).split(self.latent, dim=1)
        return mean, (1 << _SCALE_SHIFT) * scale


@final
class Hyperprior(Codec):
    """Mean-scale hyperprior codec."""

    latent_table: Tensor
    hyper_table: Tensor
    block_analysis: Tensor
    block_synthesis: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels, self.stride, self.hyper_stride = 3, STRIDE, HYPER_STRIDE
        self.latent_channels, self.hyper_channels = config.latent, config.hyper_latent
        self.weights = config.weights
        # Convolutions of 3 x 3 reach one position further each, at a quarter, an eighth and a sixteenth of the sides.
        fine, middle, coarse = config.blocks
        self.halo = math.ceil((2 * fine * 4 + 2 * middle * 8 + 2 * coarse * 16) / STRIDE)
        basis = cosine_basis(config.latent)
        # A step of 1 is the best one at this weight, sqrt(26 / weight) grey levels; gains carry it to the others.
        middle = math.sqrt(config.weights[0] * config.weights[1])
        unit = 255 / math.sqrt(26 / middle)
        self.register_buffer("block_analysis", basis * unit)
        self.register_buffer("block_synthesis", basis / unit)
        self.spread = Spread(usual_sizes(config.latent) * unit, math.sqrt(config.weights[1] / config.weights[0]), len(QUALITIES))
        self.analysis, self.synthesis = Analysis(config), Synthesis(config)
        start = torch.linspace(-0.25, 0.25, LEVELS) * math.log(config.weights[1] / config.weights[0])
        self.gain, self.inverse_gain = Gain(config.latent, start), Gain(config.latent, -start)
        self.hyper_analysis, self.hyper_synthesis = HyperAnalysis(config), HyperSynthesis(config)
        self.prediction = PredictionNetwork(config)
        self.density = FactorisedDensity(config.hyper_latent)
        self.register_buffer("latent_table", gaussian_tables().int())
        self.register_buffer("hyper_table", torch.zeros(config.hyper_latent, 2 * entropy.HYPER_REACH + 1, dtype=torch.int32))

    def weight(self, level: PerImage) -> PerImage:
        low, high = (math.log(value) for value in self.weights)
        return (low + (high - low) * level).exp()

    def estimate(self, images: Images, level: PerImage, draws: Draws) -> Estimate:
        y = self.encode(images, level)
        with torch.autocast(images.device.type, enabled=False):
            z = self.hyper_analysis(F.pad(y, (0, -y.shape[3] % HYPER_STRIDE, 0, -y.shape[2] % HYPER_STRIDE), mode="replicate"))
            hyper_bits = self.density.bits(z + draws.uniform(*z.shape[1:]) - 0.5)
        noise = draws.uniform(*y.shape[1:]) - 0.5
        coded = self.quantised(y, straight_round(z), level, quantise=straight_round, noise=noise)
        return Estimate(images=self.decode(coded.latent, level), latent_bits=coded.bits, hyper_bits=hyper_bits.sum(dim=(1, 2, 3)))

    def quantised(
        self, latent: Maps, hyper: Maps, level: PerImage, *, quantise: Callable[[Maps], Maps], noise: Maps | None = None
    ) -> Quantised:
        with torch.autocast(latent.device.type, enabled=False):
            features = self.hyper_synthesis(hyper, level_shares(level))[:, :, : latent.shape[2], : latent.shape[3]]
            first = self.first_half((latent.shape[2], latent.shape[3])).to(latent.device)
            mean, place = self.predicted(features, None, level)
            first_pass = (mean + quantise(latent - mean)) * first
            mean2, place2 = self.predicted(features, first_pass, level)
            mean, place = torch.where(first, mean, mean2), torch.where(first, place, place2)
            distance = quantise(latent - mean)
            bits = gaussian_bits(distance if noise is None else latent + noise - mean, scale_of(place))
        return Quantised(latent=mean + distance, bits=bits.sum(dim=(1, 2, 3)))

    def predicted(self, features: Maps, latent: Maps | None, level: PerImage) -> tuple[Maps, Maps]:
        """Mean and place in the row of scales of each symbol, from features and, for the second half, the latent of the first half."""
        sizes = self.spread.sizes(level)
        mean, place = self.prediction(features, None if latent is None else self.spread.divided(latent, sizes))
        return mean * sizes, self.spread.scale_places(level) + place

    def encode(self, images: Images, level: PerImage) -> Maps:
        signed, shares = images.float() - 0.5, level_shares(level)
        with torch.autocast(images.device.type, enabled=False):
            blocks = F.conv2d(signed, self.block_analysis, stride=STRIDE)
        y = blocks + self.analysis(signed, shares).float()
        return y * self.gain(shares)

    def decode(self, latent: Maps, level: PerImage) -> Maps:
        shares = level_shares(level)
        scaled = latent.float() * self.inverse_gain(shares)
        with torch.autocast(latent.device.type, enabled=False):
            blocks = F.conv_transpose2d(scaled, self.block_synthesis, stride=STRIDE)
        return blocks + self.synthesis(scaled / self.spread.channels(), shares) + 0.5

    def hyper_encode(self, latent: Maps, level: PerImage) -> Maps:
        with torch.autocast(latent.device.type, enabled=False):
            return self.hyper_analysis(latent)

    def entropy_model(self, quality: int) -> "ExactEntropyModel":
        return ExactEntropyModel(self, quality)

    def first_half(self, size: tuple[int, int]) -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
        return (rows + columns) % 2 == 0

    def tables(self) -> tuple[Tensor, Tensor]:
        return self.latent_table, self.hyper_table

    def fit_tables(self) -> None:
        self.hyper_table.copy_(self.density.table().int())

    @property
    def fingerprint(self) -> bytes:
        networks = self.hyper_synthesis, self.prediction, self.spread
        parts = [*(part for network in networks for part in network.state_dict().values()), *self.tables()]
        crc = 0
        for part in parts:
            whole = whole_weights(part) if part.is_floating_point() else part.cpu()
            crc = zlib.crc32(whole.to(torch.int32).contiguous().numpy().astype("<i4").tobytes(), crc)
        return crc.to_bytes(4, "little")


@final
class ExactEntropyModel(EntropyModel):
    """The hyper-decoder, the context and the prediction of a hyperprior codec, in whole numbers on the processor."""

    def __init__(self, network: Hyperprior, quality: int) -> None:
        decoder, prediction = network.hyper_synthesis, network.prediction
        self.layers = {name: ExactConvolution(layer, name) for name, layer in decoder.named_children() if isinstance(layer, nn.Conv2d)}
        self.context = ExactConvolution(prediction.context, "context", prediction.taps.cpu())
        self.hidden, self.output = ExactConvolution(prediction.hidden, "hidden"), ExactConvolution(prediction.output, "output")
        self.latent, self.spread = network.latent_channels, network.spread.whole(quality - QUALITIES[0])
        self.level = _exact_level(decoder.level, quality)

    def features(self, hyper: Symbols, size: tuple[int, int]) -> Whole:
        x = hyper.double() * ONE
        x = settled(self.layers["first"].sums(x) + self.level[:, None]).reshape(-1, *x.shape[1:]).clamp_min(0)
        for up, layer in ("up1", "second"), ("up2", "third"):
            x = self.layers[layer](F.pixel_shuffle(self.layers[up](x), 2).clamp_min(0)).clamp_min(0)
        return x[:, : size[0], : size[1]]

    def predict(self, features: Whole, at: Int64[Tensor, " k"], latent: Symbols | None = None) -> Prediction:
        here = features.flatten(1)[:, at]
        held = None if latent is None else self.spread.divided(latent.double().clamp(-MOST, MOST)).clamp(-MOST, MOST)
        context = torch.zeros_like(here) if held is None else settled(self.context.sums(held, at)).clamp_min(0)
        columns = torch.cat([here, context])[:, :, None]
        mean, scale = self.output(self.hidden(columns).clamp_min(0))[:, :, 0].split(self.latent)
        place = ((scale * (1 << _SCALE_SHIFT) + self.spread.place + 0.5 * ONE) / ONE).floor().clamp(0, entropy.SCALES - 1)
        return Prediction(mean=self.spread.grown(mean).clamp(-MOST, MOST).long(), scale=place.long())


def _exact_level(learned: Tensor, quality: int) -> Float64[Tensor, " c"]:
    """The bias of `quality` with 20 binary digits after the point, between those of the learned levels."""
    steps, whole = QUALITIES[-1] - QUALITIES[0], (whole_weights(learned) * ONE).long()
    below, rest = divmod((quality - QUALITIES[0]) * (LEVELS - 1), steps)
    above = min(below + 1, LEVELS - 1)
    return ((whole[below] * (steps - rest) + whole[above] * rest) // steps).double()


def level_shares(level: PerImage) -> Float[Tensor, "n levels"]:
    """The share of each learned level in `level`, which is in [0, 1]: two neighbours have all."""
    places = torch.arange(LEVELS, dtype=torch.float32, device=level.device)
    return (1 - (level.float()[:, None] * (LEVELS - 1) - places).abs()).clamp_min(0)


def cosine_basis(count: int) -> Float[Tensor, "count 3 side side"]:
    """Orthonormal cosines of squares of 16 pixels, the lowest first: of four in six the luma, of one each a difference of colours."""
    cosines, colours = cosine_matrix(STRIDE), cosine_matrix(3)  # the mean, a difference of red and blue, and one of both and green
    return torch.stack([colours[c][:, None, None] * (cosines[i][:, None] * cosines[j][None]) for c, (i, j) in _chosen(count)]).float()


def usual_sizes(count: int) -> Float[Tensor, " count"]:
    """About the root mean square of each coefficient of `cosine_basis` in photographs, whose amplitudes fall like 1 / frequency."""
    means, others = (5.6, 2.2, 1.0), (1.4, 0.32, 0.19)
    return torch.tensor([others[c] / math.hypot(*place) if any(place) else means[c] for c, place in _chosen(count)])


def _chosen(count: int) -> list[tuple[int, tuple[int, int]]]:
    """Colour and frequencies of each channel. The means come first: a file that is cut off has a thumbnail."""
    order = sorted(((i, j) for i in range(STRIDE) for j in range(STRIDE)), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))
    luma = count - 2 * (count // 6)
    chosen = [(0, order[i]) for i in range(luma)] + [(colour, order[i]) for i in range(count // 6) for colour in (1, 2)]
    return sorted(chosen, key=lambda entry: (entry[1][0] ** 2 + entry[1][1] ** 2, entry[0], order.index(entry[1])))
