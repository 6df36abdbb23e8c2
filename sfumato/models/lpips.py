"""LPIPS v0.1: perceptual distance of two images, learned from human judgements (Zhang et al. 2018, https://arxiv.org/abs/1801.03924).

    images ──── trunk ─ layers ─ each place to length 1 ─┐
                                                         ├─ difference² ─ weights ─ mean over places ─ sum over layers
    reference ─ trunk ─ layers ─ each place to length 1 ─┘                                           (eq. 1)

Images are compared at their own size; the distance depends on the size.
"""

from typing import Literal, final

import torch
from torch import nn

from sfumato.core.config import settings
from sfumato.core.tensors import Images, PerImage
from sfumato.models import MODELS
from sfumato.models.base import build_as
from sfumato.models.roles.feature_extractor import Backbone
from sfumato.models.roles.perceptual_metric import PerceptualMetric

EPS = 1e-10
"""Added to the length of each feature vector before the division."""


@settings
class Config:
    """Settings of an LPIPS metric."""

    id = "lpips"
    trunk: Literal["squeezenet", "alexnet", "vgg16"] = "squeezenet"
    """Backbone whose layers are compared: alexnet agrees best with people, vgg16 is best as a loss."""

    @property
    def size(self) -> None:
        """None: images may have any size."""

    @property
    def channels(self) -> int:
        """3: RGB; grey images are repeated over the channels."""
        return 3

    @property
    def classes(self) -> int:
        """0: no classification head."""
        return 0

    def build(self) -> "Lpips":
        return Lpips(self)


@final
class Lpips(PerceptualMetric):
    """LPIPS: weighted squared difference of normalised feature maps."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.trunk = build_as(Backbone, MODELS["features"](trunk=config.trunk, classes=0), name="lpips: trunk")
        self.weights = nn.ParameterList(torch.rand(width) / width for width in self.trunk.layer_widths)
        self.channels, self.min_side = self.trunk.channels, self.trunk.min_side

    def distance(self, images: Images, reference: Images) -> PerImage:
        total = images.new_zeros(len(images), dtype=torch.float32)
        for ours, theirs, weights in zip(self.trunk.layers(images), self.trunk.layers(reference), self.weights, strict=True):
            apart = (_of_length_one(ours) - _of_length_one(theirs)).square()
            total = total + torch.einsum("nchw,c->nhw", apart, weights.float()).mean(dim=(1, 2))
        return total


def _of_length_one(maps: torch.Tensor) -> torch.Tensor:
    """The channels of each position divided by their length, in float32; zeros stay zeros with a finite gradient."""
    maps = maps.float()
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + EPS)
