"""A restorer that is one convolution, for tests of what stands around networks."""

import pytest
import torch
from torch import nn

from sfumato.models.roles.restorer import Restorer


class OneConvolution(Restorer):
    def __init__(self, *, channels=1, scale=1, radius=1, multiple=1, conditioning=(), grey_path=False):
        super().__init__()
        self.channels, self.scale, self.receptive_radius, self.pad_multiple = channels, scale, radius, multiple
        self.conditioning, self.has_grey_path = conditioning, grey_path
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.convolution.weight)
        with torch.no_grad():
            for channel in range(channels):
                self.convolution.weight[channel, channel, 1, 1] = 0.5

    def restore(self, degraded, planes=None):
        return self.convolution(degraded).repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.fixture
def restorer():
    """A function to a small restorer, which halves every value: `restorer(channels=3, scale=2, radius=None)`."""

    def build(**facts):
        return OneConvolution(**facts).eval().requires_grad_(False)

    return build
