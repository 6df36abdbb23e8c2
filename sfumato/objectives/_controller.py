"""What an adversarial objective steers while it trains: augmentation, the weight of penalties, and that of classes for the generator.

The heuristic is that of Karras et al. 2020 (https://arxiv.org/abs/2006.06676, section 3.1): a discriminator that learns few images by
heart grows ever surer of them. r = E[sign D(real)] is 0 while it guesses and 1 when it is never in doubt; where r is above its target,
images are changed a little more often, else a little less.
"""

import math

import torch

from sfumato.core.tensors import PerImage
from sfumato.data.adaptive import Config as Adaptive
from sfumato.objectives.base import Memory

RECENT = 1 / 16
"""Weight of a batch in the running mean."""
MOST = 0.8
"""The probability is steered no higher: beyond this, changes begin to show in generated images."""


class Controller(Memory):
    """The probability, and how sure of real images the discriminator was since it last moved."""

    probability: torch.Tensor
    target: torch.Tensor
    gamma: torch.Tensor
    """Factor on the weights of the penalties."""
    certainty: torch.Tensor
    """Sum over batches of r."""
    batches: torch.Tensor
    known: torch.Tensor
    """What the discriminator has learned of the classes, as a share of all there is to know: a running mean."""

    def __init__(self, adaptive: Adaptive, *, penalised: bool) -> None:
        super().__init__()
        self.adaptive = adaptive
        start = {
            "probability": adaptive.probability,
            "target": adaptive.target,
            "gamma": 1.0,
            "certainty": 0.0,
            "batches": 0.0,
            "known": 0.0,
        }
        for name, value in start.items():
            self.register_buffer(name, torch.tensor(value))
        self.dials = {"gamma": (0.01, 100.0)} if penalised else {}
        if adaptive.active:
            self.dials["target" if adaptive.target else "probability"] = (0.3, 0.9) if adaptive.target else (0.0, MOST)

    @torch.no_grad()
    def steer(self, images: int) -> None:
        """Moves the probability if it is time, for batches of so many `images`."""
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
        """Takes in the signs of a batch."""
        self.certainty += signs.mean()
        self.batches += 1

    @torch.no_grad()
    def learn(self, missed: torch.Tensor, classes: int) -> None:
        """Takes in the cross-entropy of the classes of a batch of real images.

        1 - cross-entropy / log(classes) is 0 for a discriminator that guesses and 1 for one that is never wrong.
        """
        self.known.lerp_(1 - missed.float() / math.log(max(2, classes)), RECENT)
