"""Detection of damage: which pixels of a degraded picture are covered, as a plane in [0, 1].

    clean ─ degradation ─> degraded, observed ─ network of one channel ─> share of damage, trained to be 1 - observed

Cross-entropy of each pixel, and one minus the Dice coefficient of each image, because few pixels are damaged (Milletari et al. 2016,
https://arxiv.org/abs/1606.04797).
"""

from typing import Annotated

import torch
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps, Planes, Scalar, to_images
from sfumato.data.stream import Stream
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.resample import resize
from sfumato.objectives.base import SHEET, Batch, Losses, Phase, RunSettings, still_batch
from sfumato.objectives.restoration import RestorationObjective, restored

STEEPNESS = 8.0
"""Logit of a pixel for which the network gives 1; it is 0 at 0.5."""


@settings
class Config(RestorationObjective[Restorer]):
    """Settings of the training of a detector of damage."""

    id = "damage"
    dice: Annotated[float, Range(0, 1000)] = 0.5
    """Weight of one minus the Dice coefficient beside the cross-entropy."""

    def phases(self, model: Restorer) -> list[Phase]:
        """One phase. Raises SettingError for a network of other than one channel, or with a discriminator, which nothing would train."""
        if model.channels != 1 or model.has_grey_path or model.has_discriminator:
            raise SettingError("damage: the network must take and give one channel; let model.channels be 1")

        def loss(batch: Batch) -> Losses:
            output = restored(model, batch)
            damaged = _damaged(batch, output)
            entropy = F.binary_cross_entropy_with_logits(STEEPNESS * (output - 0.5), damaged)
            dice = overlap(torch.sigmoid(STEEPNESS * (output - 0.5)), damaged)
            return {"total": entropy + self.dice * (1 - dice), "entropy": entropy, "overlap": dice}

        return [Phase(name="detect", weights=list(model.parameters()), loss=loss)]

    def preview(self, model: Restorer, stream: Stream, settings: RunSettings) -> Images:
        """The same 16 images at every call, each degraded, with the damage that is output, and with the damage that there is."""
        batch = self.prepare(still_batch(to_images(stream.pixels[: SHEET // 4]), seeded_generator(0, "sheet")), settings)
        output = restored(model, batch)
        degraded = resize(batch.degraded, (output.shape[2], output.shape[3]), method="nearest")
        return torch.stack([degraded, output, _damaged(batch, output)], dim=1).flatten(0, 1)

    def validate(self, model: Restorer, batch: Batch) -> Losses:
        """Dice coefficient of held-out images with what is above 0.5, mean over images."""
        with torch.no_grad():
            output = (restored(model, batch) > 0.5).float()
            return {"overlap": overlap(output, _damaged(batch, output))}


def overlap(output: Maps, damaged: Planes) -> Scalar:
    """Dice coefficient of each image, 2 |A and B| / (|A| + |B|), mean over images, in [0, 1]; near 1 where both are empty."""
    shared, both = (output * damaged).sum(dim=(1, 2, 3)), (output + damaged).sum(dim=(1, 2, 3))
    return ((2 * shared + 1) / (both + 1)).mean()


def _damaged(batch: Batch, output: Maps) -> Planes:
    """1 where pixels are damaged, in the size of `output`; without a degradation, nowhere."""
    if batch.damage is None:
        return torch.zeros_like(output)
    return resize(1 - batch.damage.observed, (output.shape[2], output.shape[3]), method="nearest")
