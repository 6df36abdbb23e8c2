"""Style mixing and the path length penalty, for generators with styles."""

import math

import torch

from sfumato.core.tensors import Labels, Scalar, Styles
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.nn.convolution import map_gradients_only
from sfumato.objectives.base import Batch, Memory

FORGET = 0.01
"""Share by which the mean length moves towards that of a batch."""


def mixed_styles(model: StyleGenerator, batch: Batch, chance: float) -> Styles:
    """Styles of new latents; for each image, with probability `chance`, those from a random layer on belong to another latent.

    Karras et al. 2019, https://arxiv.org/abs/1812.04948, section 3.1.
    """
    styles = model.map_latent(batch.normal(model.latent_dim), batch.labels)
    if not chance or model.styles == 1:
        return styles
    others = model.map_latent(batch.normal(model.latent_dim), batch.labels)
    draw, place = batch.uniform(2).unbind(dim=1)
    first = 1 + (place * (model.styles - 1)).long()
    first = torch.where(draw < chance, first, model.styles)
    layer = torch.arange(model.styles, device=styles.device)
    return torch.where((layer >= first[:, None])[:, :, None], others, styles)


class PathLength(Memory):
    """The path length penalty (Karras et al. 2020, https://arxiv.org/abs/1912.04958, section 3.2).

    It is the squared difference between the change of an image with its styles and the mean change over images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dials = {}
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, model: StyleGenerator, styles: Styles, labels: Labels | None, noise: torch.Tensor) -> tuple[Scalar, Scalar]:
        """The penalty, and the mean length of this batch; `noise` is normal, of the images' shape."""
        if not styles.requires_grad:  # without a mapping, styles are the latents
            styles = styles.detach().requires_grad_()
        images = model.synthesize(styles, labels)
        h, w = images.shape[2:]
        # Images in papers lie in [-1, 1]: their slope is twice as large.
        with map_gradients_only():
            (slope,) = torch.autograd.grad(2 * (images * noise / math.sqrt(h * w)).sum(), styles, create_graph=True)
        lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
        mean: torch.Tensor = self.get_buffer("mean")
        expected = mean.lerp(lengths.detach().mean(), FORGET)
        mean.copy_(expected)
        return (lengths - expected).square().mean(), lengths.detach().mean()
