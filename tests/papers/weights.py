"""Random tensors under the names of others, and the steps that the formulas of several papers share.

Nothing in this folder uses the networks of the package. Formulas take the tensors by name and compute in the precision of these.
"""

import torch
from torch.nn import functional as F


class Weights(dict):
    """Random tensors by name, made as they are asked for."""

    def __init__(self, seed=0):
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)

    def rand(self, *shape):
        return torch.randn(*shape, generator=self.rng)

    def conv(self, name, outputs, inputs, side=3, *, groups=1, bias=True, gain=1.0):
        fan = inputs // groups * side * side
        self[f"{name}.weight"] = gain * self.rand(outputs, inputs // groups, side, side) / fan**0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * gain * self.rand(outputs)

    def linear(self, name, outputs, inputs, *, gain=1.0, bias=True):
        self[f"{name}.weight"] = gain * self.rand(outputs, inputs) / inputs**0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * gain * self.rand(outputs)

    def norm(self, name, width):
        self[f"{name}.weight"], self[f"{name}.bias"] = 1 + 0.2 * self.rand(width), 0.2 * self.rand(width)

    def moments(self, name, width):
        """Batch normalisation."""
        self.norm(name, width)
        self[f"{name}.running_mean"], self[f"{name}.running_var"] = 0.2 * self.rand(width), 0.5 + self.rand(width).abs()
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def slopes(self, name, width):
        self[f"{name}.weight"] = 0.25 + 0.1 * self.rand(width)


def conv(state, x, name, **options):
    """A convolution that keeps the size, if no other padding is asked for."""
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), **{"padding": weight.shape[2] // 2, **options})


def over_channels(state, x, name, eps):
    """Layer normalisation of the channels of each pixel."""
    mean = x.mean(1, keepdim=True)
    scaled = (x - mean) / ((x - mean).square().mean(1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def leaky(x, slope):
    return torch.maximum(x, slope * x)


def doubled(x, times=2):
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)
