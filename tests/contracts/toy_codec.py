"""A codec as a plug-in of one file: role, network, objective and recipe, with nothing in the package about codecs.

images ─ encoder ─ latent ─ round ─ symbols ─ decoder ─ images
                      └─ logistic distribution of each channel ─ bits
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, final

import torch
from torch import Tensor, nn

import sfumato as sf
from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, to_images
from sfumato.data.stream import Stream
from sfumato.objectives.base import Batch, Losses, Phase, PictureObjective, RunSettings
from sfumato.train.settings import TrainSettings


class Codec(nn.Module, ABC):
    """Compresses images of any size whose sides are multiples of `pad_multiple`."""

    channels: int
    pad_multiple: int

    @abstractmethod
    def compress(self, images: Images) -> Maps:
        """The symbols of images: whole numbers."""

    @abstractmethod
    def decompress(self, symbols: Maps) -> Maps:
        """The images of symbols."""

    @abstractmethod
    def bits(self, latent: Maps) -> Tensor:
        """The information of a latent, in bits, for each image of the batch."""

    def forward(self, images: Images) -> Maps:
        """The images after compression."""
        return self.decompress(self.compress(images))


@sf.register
@settings
class ToyCodecConfig:
    id = "toy_codec"
    channels: Annotated[int, Range(1, 3, "channels")] = 1
    """1 for grey, 3 for RGB."""
    width: Annotated[int, Range(1, 64, "channels")] = 4
    """Channels of the latent, which has a quarter of the sides of the image."""

    def build(self) -> "ToyCodec":
        return ToyCodec(self)


@final
class ToyCodec(Codec):
    def __init__(self, config: ToyCodecConfig) -> None:
        super().__init__()
        self.channels, self.pad_multiple = config.channels, 4
        self.encoder = nn.Conv2d(config.channels, config.width, 4, 4)
        self.decoder = nn.ConvTranspose2d(config.width, config.channels, 4, 4)
        self.log_scale = nn.Parameter(torch.zeros(config.width, 1, 1))
        self.register_buffer("largest", torch.zeros(()))

    def compress(self, images: Images) -> Maps:
        return self.latent(images).round()

    def latent(self, images: Images) -> Maps:
        """The latent before it is rounded."""
        return 4 * self.encoder(images - 0.5)

    def decompress(self, symbols: Maps) -> Maps:
        return self.decoder(symbols / 4) + 0.5

    def bits(self, latent: Maps) -> Tensor:
        scale = self.log_scale.exp()
        probability = torch.sigmoid((latent + 0.5) / scale) - torch.sigmoid((latent - 0.5) / scale)
        return -probability.clamp_min(1e-9).log2().sum(dim=(1, 2, 3))


@sf.register
@settings
class RateDistortion(PictureObjective):
    """Bits per pixel plus `weight` times the squared error, with uniform noise in the place of rounding (Ballé et al. 2017, 1611.01704)."""

    id = "toy_rate_distortion"
    weight: Annotated[float, Range(0, 1e6)] = 200.0
    """Weight of the squared error beside the rate in bits per pixel."""

    def phases(self, model: ToyCodec) -> list[Phase]:
        def loss(batch: Batch) -> Losses:
            latent = model.latent(batch.clean)
            noisy = latent + batch.uniform(*latent.shape[1:]) - 0.5
            rate = model.bits(noisy).mean() / math.prod(batch.clean.shape[2:])
            error = (model.decompress(noisy) - batch.clean).square().mean()
            return {"total": rate + self.weight * error, "rate": rate, "error": error}

        return [Phase(name="code", weights=list(model.parameters()), loss=loss)]

    def check_images(self, model: ToyCodec, stream: Stream, settings: RunSettings) -> None:
        sides = stream.pixels.shape[2:]
        if any(side % model.pad_multiple for side in sides):
            raise SettingError(f"patch = {settings.patch} must be a multiple of {model.pad_multiple}")

    def preview(self, model: ToyCodec, stream: Stream, settings: RunSettings) -> Images:
        images = to_images(stream.pixels[:8])
        return torch.stack([images, model(images)], dim=1).flatten(0, 1)

    def validate(self, model: ToyCodec, batch: Batch) -> Losses:
        symbols = model.compress(batch.clean)
        error = (model.decompress(symbols).clamp(0, 1) - batch.clean).square().mean(dim=(1, 2, 3))
        return {"bits_per_pixel": model.bits(symbols).mean() / math.prod(batch.clean.shape[2:]), "psnr": -10 * error.log10().mean()}

    def finish(self, model: ToyCodec, stream: Stream) -> None:
        """The largest symbol of the first images: the range for an entropy coder."""
        model.largest.fill_(float(model.compress(to_images(stream.pixels)).abs().max()))


@sf.register_recipe
def toy_codec() -> TrainSettings:
    """A codec for grey squares of 8 pixels."""
    return TrainSettings(
        model=ToyCodecConfig(),
        objective=RateDistortion(),
        data="images",
        validation=0.25,
        patch=8,
        images=480,
        batch=8,
        lr=1e-2,
        ema=40,
        precision="fp32",
        log_every=80,
        sample_every=160,
        save_every=80,
    )
