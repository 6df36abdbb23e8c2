"""Quantities that an adversarial objective controls in training: augmentation, weight of penalties, weight of classes for the generator.

The heuristic is that of Karras et al. 2020 (https://arxiv.org/abs/2006.06676, section 3.1): a discriminator that memorises few images
grows ever surer of them. r = E[sign D(real)] is 0 while the discriminator guesses and 1 when it takes every real image for real. Where r
is above its target, images are augmented a little more often, else a little less.
"""

import math
from types import MappingProxyType

import torch

from sfumato.core.tensors import PerImage
from sfumato.data.adaptive import Config as Adaptive
from sfumato.objectives.base import Memory

RECENT = 1 / 16
"""Weight of a batch in the running mean."""
MOST = 0.8
"""Highest probability: above it, generated images begin to look augmented."""


class Controller(Memory):
    """The probability of augmentation, and the certainty of the discriminator since the probability last changed."""

    earlier_names = MappingProxyType({"known": "class_information"})

    probability: torch.Tensor
    target: torch.Tensor
    gamma: torch.Tensor
    """Factor on the weights of the penalties."""
    certainty: torch.Tensor
    """Sum over batches of r."""
    batches: torch.Tensor
    class_information: torch.Tensor
    """Share of the information on the classes that the discriminator has learned, in [0, 1]: a running mean."""

    def __init__(self, adaptive: Adaptive, *, penalised: bool) -> None:
        super().__init__()
        self.adaptive = adaptive
        start = {
            "probability": adaptive.probability,
            "target": adaptive.target,
            "gamma": 1.0,
            "certainty": 0.0,
            "batches": 0.0,
            "class_information": 0.0,
        }
        for name, value in start.items():
            self.register_buffer(name, torch.tensor(value))
        self.dials = {"gamma": (0.01, 100.0)} if penalised else {}
        if adaptive.active:
            self.dials["target" if adaptive.target else "probability"] = (0.3, 0.9) if adaptive.target else (0.0, MOST)

    @torch.no_grad()
    def steer(self, images: int) -> None:
        """Changes the probability if that is due, for batches of `images` images."""
        if not self.adaptive.target:
            return
        due = self.batches >= self.adaptive.every
        step = images * self.adaptive.every / self.adaptive.over
        moved = self.probability + step * torch.sign(self.certainty / self.batches.clamp_min(1) - self.target)
        self.probability.copy_(torch.where(due, moved.clamp(0, MOST), self.probability))
        for each in (self.certainty, self.batches):
            each.mul_(~due)

    @torch.no_grad()
    def note(self, signs: PerImage) -> None:
        """Adds the signs of a batch to the certainty."""
        self.certainty += signs.mean()
        self.batches += 1

    @torch.no_grad()
    def learn(self, cross_entropy: torch.Tensor, classes: int) -> None:
        """Moves `class_information` towards that of a batch of real images.

        1 - cross-entropy / log(classes) is 0 for a discriminator that guesses and 1 for one that is never wrong.
        """
        self.class_information.lerp_(1 - cross_entropy.float() / math.log(max(2, classes)), RECENT)
