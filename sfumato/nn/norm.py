"""Normalisation layers, and batch normalisation folded into convolutions for inference."""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class PixelNorm(nn.Module):
    """Divides the channels of each pixel (or vector) by their root mean square (Karras et al. 2018, arXiv:1710.10196, section 4.2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class LayerNorm(nn.Module):
    """Normalises the channels of each pixel to mean 0 and variance 1; with `affine`, learned scales and shifts of each channel follow.

    One native operator: four times as fast on a CPU as `PixelNorm`.
    """

    def __init__(self, channels: int, *, affine: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,), self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the moments of the whole batch, also when several processes share the batch."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not (self.training and distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
            return super().forward(input)
        x = input.float()
        moments = torch.stack([x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))])
        mean, square = all_reduce(moments) / distributed.get_world_size()
        variance = (square - mean.square()).clamp_min(0)  # rounding can make the difference negative
        self._track(mean, variance, count=x.numel() // x.shape[1] * distributed.get_world_size())
        shape = (1, -1, 1, 1)
        y = (x - mean.reshape(shape)) * (variance + self.eps).rsqrt().reshape(shape)
        return (y * self.weight.reshape(shape) + self.bias.reshape(shape)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, *, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.1)


def in_training(network: nn.Module) -> bool:
    """Whether a layer of `network` is in training mode: a network that was just put together of others says so of itself."""
    return any(module.training for module in network.modules() if not list(module.children()))


def fold_batch_norm(network: Network) -> Network:
    """A copy of `network` in which each batch normalisation is folded into the convolution before it; `network` itself if it has none.

    Outputs are the same up to rounding, in less time. For inference only: a network in training mode is returned unchanged.
    """
    if in_training(network) or not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    network = copy.deepcopy(network)
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (name, conv), (after, norm) in pairwise(list(sequence.named_children())):
            if type(conv) is nn.Conv2d and isinstance(norm, nn.BatchNorm2d):
                setattr(sequence, name, fuse_conv_bn_eval(conv, norm))
                setattr(sequence, after, nn.Identity())
    return network
