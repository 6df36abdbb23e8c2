"""What is particular to training a generator that styles steer: mixing them, and keeping steps of equal length."""

import math

import torch

from sfumato.core.tensors import Labels, Scalar, Styles
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.nn.convolution import map_gradients_only
from sfumato.objectives.base import Batch, Memory

FORGET = 0.01
"""How far the mean length moves towards that of a batch."""


def mixed(model: StyleGenerator, batch: Batch, chance: float) -> Styles:
    """Styles of fresh latents; of each image, with probability `chance`, those from a random layer on belong to another latent.

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
    """How uneven the generator's steps are (Karras et al. 2020, https://arxiv.org/abs/1912.04958, section 3.2).

    That is, the squared difference between how much an image changes with its styles and how much images do on average.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dials = {}
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, model: StyleGenerator, styles: Styles, labels: Labels | None, noise: torch.Tensor) -> tuple[Scalar, Scalar]:
        """The penalty, and the mean length of this batch; `noise` is normal, of the images' shape."""
        if not styles.requires_grad:  # a generator without a mapping: its styles are the latents themselves
            styles = styles.detach().requires_grad_()
        images = model.synthesize(styles, labels)
        h, w = images.shape[2:]
        # Images of papers lie in [-1, 1]: twice as steep.
        with map_gradients_only():
            (slope,) = torch.autograd.grad(2 * (images * noise / math.sqrt(h * w)).sum(), styles, create_graph=True)
        lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
        mean: torch.Tensor = self.get_buffer("mean")
        expected = mean.lerp(lengths.detach().mean(), FORGET)
        mean.copy_(expected)
        return (lengths - expected).square().mean(), lengths.detach().mean()
