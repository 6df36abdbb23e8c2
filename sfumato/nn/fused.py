"""Networks at work: layers that follow each other are computed in one pass over memory.

At full resolution the maps of a network do not fit into the caches of a processor, and what only reads and writes them takes a tenth of
the time. The weights and, but for rounding, the outputs stay the same.
"""

import copy
from itertools import pairwise
from typing import TypeGuard, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.tensors import Maps
from sfumato.nn.convolution import active_conv, summed_conv
from sfumato.nn.norm import in_training

Network = TypeVar("Network", bound=nn.Module)


class Sums(nn.Module):
    """A module that adds other maps to those it has just made."""

    in_place = False
    """Whether a sum takes the memory of the new maps: fresh memory costs more than the sum. A hook on their layer then sees the sum."""

    def total(self, new: Maps, other: Maps) -> Maps:
        """The sum of maps that a layer has just made, and of others."""
        return new.add_(other) if self.in_place and new.dtype == other.dtype else new + other


class Shortcut(Sums):
    """x + body(x): a shortcut around layers (He et al. 2015, https://arxiv.org/abs/1512.03385)."""

    body: nn.Sequential
    """Layers of which the last makes new maps."""

    def forward(self, x: Maps) -> Maps:
        if not (self.in_place and _is_plain(last := self.body[-1])):
            return self.total(self.body(x), x)
        y = x
        for layer in list(self.body)[:-1]:
            y = layer(y)
        return summed_conv(y, last.weight, _bias(last), x, padding=int(last.padding[0]))


class ActiveConv(nn.Module):
    """A convolution and the ReLU after it."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return active_conv(x, self.layer.weight, _bias(self.layer), 0.0, stride=self.layer.stride[0], padding=int(self.layer.padding[0]))


class ShuffledConv(nn.Module):
    """A 1x1 convolution without bias and the pixel shuffle after it: one transposed convolution, whose kernels do not overlap."""

    def __init__(self, layer: nn.Conv2d, factor: int) -> None:
        super().__init__()
        self.factor = factor
        weight = layer.weight.detach().reshape(-1, factor, factor, layer.in_channels).permute(3, 0, 1, 2)
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, stride=self.factor)


def fused(network: Network) -> Network:
    """`network` for inference with fewer passes over memory, with the same weights; itself in training, or if it has nothing to join.

    Not for networks whose layers are read by hooks.
    """
    joints = [(at, list(_pairs(module))) for at, module in enumerate(network.modules())]
    sums = any(isinstance(module, Sums) for module in network.modules())
    if in_training(network) or not (sums or any(pairs for _, pairs in joints)):
        return network
    # The weights are not copied: they take as long as all else, and are not written to.
    network = copy.deepcopy(network, {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())})
    modules = list(network.modules())
    for at, pairs in joints:
        for name, after in pairs:
            layer, next_layer = modules[at].get_submodule(name), modules[at].get_submodule(after)
            assert isinstance(layer, nn.Conv2d)
            shuffle = isinstance(next_layer, nn.PixelShuffle)
            setattr(modules[at], name, ShuffledConv(layer, next_layer.upscale_factor) if shuffle else ActiveConv(layer))
            setattr(modules[at], after, nn.Identity())
    for module in modules:
        if isinstance(module, Sums):
            module.in_place = True
    return network


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Pairs of names in a sequence: a convolution, and the ReLU or pixel shuffle that follows and can be joined with it."""
    if not isinstance(module, nn.Sequential):
        return []
    layers = [(name, layer) for name, layer in module.named_children() if not isinstance(layer, nn.Identity)]
    return [(name, after) for (name, layer), (after, following) in pairwise(layers) if _joins(layer, following)]


def _joins(layer: nn.Module, following: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    if isinstance(following, nn.PixelShuffle):
        return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.bias is None
    return isinstance(following, nn.ReLU) and layer.dilation == (1, 1) and len(set(layer.stride)) == len(set(layer.padding)) == 1


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution that keeps the size of its maps, with zeros around them."""
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    padding = {(side - 1) / 2 for side in layer.kernel_size}
    return layer.stride == layer.dilation == (1, 1) and padding == set(layer.padding) and len(padding) == 1


def _bias(layer: nn.Conv2d) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
