"""How different two images look to people, learned from their judgements: LPIPS v0.1 (Zhang et al. 2018, https://arxiv.org/abs/1801.03924).

    images ──── trunk ─ layers ─ each place to length 1 ─┐
                                                         ├─ difference² ─ weights ─ mean over places ─ sum over layers
    reference ─ trunk ─ layers ─ each place to length 1 ─┘                                           (eq. 1)

Images are compared at their own size: another size is another distance.
"""

from typing import Literal, final

import torch
from torch import nn

from sfumato.core.config import settings
from sfumato.core.tensors import Images, PerImage
from sfumato.models import MODELS
from sfumato.models.roles.feature_extractor import Backbone
from sfumato.models.roles.perceptual_metric import PerceptualMetric

EPS = 1e-10


@settings
class Config:
    id = "lpips"
    trunk: Literal["squeezenet", "alexnet", "vgg16"] = "squeezenet"
    """Whose layers are compared: alexnet agrees best with people, vgg16 serves best as a loss."""

    @property
    def size(self) -> None:
        """It looks at images of every size."""

    @property
    def channels(self) -> int:
        """Colour; a grey image is shown as one."""
        return 3

    @property
    def classes(self) -> int:
        """It tells none apart."""
        return 0

    def build(self) -> "Lpips":
        return Lpips(self)


@final
class Lpips(PerceptualMetric):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.trunk: Backbone = MODELS["features"](trunk=config.trunk, classes=0).build()
        self.weights = nn.ParameterList(torch.rand(width) / width for width in self.trunk.layer_widths)
        self.channels, self.min_side = self.trunk.channels, self.trunk.min_side

    def distance(self, images: Images, reference: Images) -> PerImage:
        total = images.new_zeros(len(images), dtype=torch.float32)
        for ours, theirs, weights in zip(self.trunk.layers(images), self.trunk.layers(reference), self.weights, strict=True):
            apart = (_of_length_one(ours) - _of_length_one(theirs)).square()
            total = total + torch.einsum("nchw,c->nhw", apart, weights.float()).mean(dim=(1, 2))
        return total


def _of_length_one(maps: torch.Tensor) -> torch.Tensor:
    """Each place's channels over their length, in float32; a place of zeros stays one, and has no gradient that is infinite."""
    maps = maps.float()
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + EPS)
