"""Bits against errors: training of a codec (Ballé et al. 2017, https://arxiv.org/abs/1611.01704, eq. 7).

    total = bits per pixel + weight(level) * mean squared error in squared grey levels

One network learns all rates: each image of a batch has a level of its own, spread evenly over [0, 1]. The total of a level is divided by
the square root of its weight, so that no rate outweighs the others.
"""

import math

import torch

from sfumato.core.config import settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws, seeded_generator
from sfumato.core.tensors import Images, PerImage, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.stream import Stream
from sfumato.models.roles.codec import Codec, Estimate
from sfumato.objectives.base import Batch, ImageSource, Losses, Phase, PictureObjective, RunSettings

SHOWN = 16
"""Images of a sheet."""
MEASURED = (0.15, 0.3, 0.45, 0.6)
"""Levels at which held-out images are measured."""


@settings
class Config(PictureObjective[Codec]):
    """Settings of the training of a codec."""

    id = "rate_distortion"

    def load(self, source: ImageSource) -> Dataset | Scenes:
        return source.pictures()

    def phases(self, model: Codec) -> list[Phase]:
        """One phase, the rate and the error at a random level for each image."""

        def loss(batch: Batch) -> Losses:
            level = spread_levels(batch)
            estimate = model.estimate(batch.clean, level, batch.draws)
            weight = model.weight(level)
            rate, hyper_rate, error = _figures(batch.clean, estimate)
            total = (rate + weight * error) / (weight / 0.01).sqrt()
            return {
                "total": total.mean(),
                "bits_per_pixel": rate.mean(),
                "hyper_bits_per_pixel": hyper_rate.mean(),
                "psnr": psnr(error).mean(),
            }

        return [Phase(name="codec", weights=list(model.parameters()), loss=loss)]

    def check_images(self, model: Codec, stream: Stream, settings: RunSettings) -> None:
        multiple, sides = model.stride, tuple(stream.pixels.shape[2:])
        if any(side % multiple for side in sides):
            least = multiple * max(1, min(sides) // multiple)
            raise SettingError(f"patch = {settings.patch} must be a multiple of {multiple} pixels, such as {least}")

    def preview(self, model: Codec, stream: Stream, settings: RunSettings) -> Images:
        """Pairs of an image and of the same after compression, at the levels of the validation in turn."""
        images = to_images(stream.pixels[:SHOWN])
        level = torch.tensor(MEASURED, device=images.device).repeat(SHOWN)[: len(images)]
        draws = Draws(rng=seeded_generator(0, "sheet"), count=len(images), device=images.device)
        return torch.stack([images, model.estimate(images, level, draws).images], dim=1).flatten(0, 1)

    def preview_count(self) -> int:
        return SHOWN

    def validate(self, model: Codec, batch: Batch) -> Losses:
        """Bits per pixel and PSNR of held-out images at several levels, the bits estimated."""
        figures: Losses = {}
        for level in MEASURED:
            with torch.no_grad():
                estimate = model.estimate(batch.clean, batch.clean.new_full((len(batch.clean),), level), batch.draws)
            rate, _, error = _figures(batch.clean, estimate)
            figures |= {f"bits_per_pixel_{level:g}": rate.mean(), f"psnr_{level:g}": psnr(error).mean()}
        return figures

    def validation_batch(self) -> int:
        return 16

    def finish(self, model: Codec, stream: Stream) -> None:
        """Computes the tables of the entropy coder."""
        model.fit_tables()


def spread_levels(batch: Batch) -> PerImage:
    """A level for each image of the batch: evenly spread, moved by one random number, in random order."""
    count = len(batch.clean) * batch.parts
    order = torch.randperm(count, generator=batch.rng)
    levels = (order + torch.rand(count, generator=batch.rng)) / count
    mine = levels[len(batch.clean) * batch.part :][: len(batch.clean)]
    return mine.to(batch.clean.device)


def psnr(error: PerImage) -> PerImage:
    """PSNR in dB of mean squared errors in squared grey levels of 255."""
    return 10 * (255**2 / error.clamp_min(1e-9)).log10()


def _figures(images: Images, estimate: Estimate) -> tuple[PerImage, PerImage, PerImage]:
    """Bits per pixel, those of the hyperlatent alone, and the mean squared error in squared grey levels, of each image."""
    pixels = math.prod(images.shape[2:])
    error = 255**2 * (estimate.images.float() - images).square().mean(dim=(1, 2, 3))
    return (estimate.latent_bits + estimate.hyper_bits) / pixels, estimate.hyper_bits / pixels, error
