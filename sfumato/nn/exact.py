"""Convolutions on whole numbers, with the same result on every machine.

Numbers are fixed-point: activations have 8 binary digits after the point, weights 12. Products and sums are computed in float64, which
holds whole numbers up to 2^53 exactly; as long as no sum can pass that, no order of adding, number of threads or memory layout can change
it. Convolutions are matrix products, one for each tap, and never `conv2d`, whose fast algorithms (Winograd) compute with fractions.

Ballé et al. 2019, Integer networks for data compression with latent-variable models, https://openreview.net/forum?id=S1zz2i0cY7.
"""

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.errors import SettingError

POINT, WEIGHT_POINT = 8, 12
"""Binary digits after the point of activations and of weights."""
ONE = 1 << POINT
MOST = 1 << 20
"""Largest size of an activation: 4096 times one."""
_LIMIT = 2.0**53

Whole = Float64[Tensor, "_c _h _w"]
"""Maps of one image in whole numbers, as float64: values times 256."""
Columns = Float64[Tensor, "_c _k"]
"""Whole numbers at some positions of a map, a column each."""


class ExactConvolution:
    """The convolution of a layer, on whole numbers. Sides of maps stay: borders are filled with zeros."""

    def __init__(self, layer: nn.Conv2d, name: str, mask: Tensor | None = None) -> None:
        """Takes the weights of `layer`, which has stride 1 and an odd kernel, at the taps where `mask` is 1, or at all.

        Raises SettingError, naming the layer by its `name`, if a sum could pass 2^53.
        """
        kernel = whole_weights(layer.weight)
        rows, columns = (torch.ones(kernel.shape[2:]) if mask is None else mask).nonzero(as_tuple=True)
        self.taps = [(i, j, kernel[:, :, i, j].contiguous()) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
        self.border = kernel.shape[2] // 2
        assert layer.bias is not None
        self.bias = whole_weights(layer.bias) * ONE
        bound = float((kernel.abs().sum(dim=(1, 2, 3)) * MOST + self.bias.abs()).max()) + 2.0 * MOST * (1 << WEIGHT_POINT)
        if not bound < _LIMIT:
            raise SettingError(f"{name}: its sums could reach {bound:.3g}, and whole numbers are exact up to 2^53 only; train it again")

    def sums(self, x: Whole, at: Tensor | None = None) -> Columns:
        """Sums of products with 20 binary digits after the point, at the positions `at` (numbers in reading order), or at all."""
        (_, h, w), edge = x.shape, self.border
        padded = F.pad(x, (edge, edge, edge, edge))
        total = self.bias[:, None]
        for row, column, weight in self.taps:
            shifted = padded[:, row : row + h, column : column + w].flatten(1)
            total = total + weight @ (shifted if at is None else shifted[:, at])
        return total

    def __call__(self, x: Whole) -> Whole:
        """The convolution of `x`, rounded to 8 binary digits after the point and limited in size."""
        return settled(self.sums(x)).reshape(len(self.bias), *x.shape[1:])


def whole_weights(weight: Tensor) -> Tensor:
    """Weights with 12 binary digits after the point, as whole numbers: an exact function of their float32 values."""
    return (weight.detach().cpu().double() * (1 << WEIGHT_POINT)).round()


def settled(sums: Columns) -> Columns:
    """Sums with 20 binary digits after the point as activations with 8: rounded to nearest, half upwards, and limited in size."""
    scale = 1 << WEIGHT_POINT
    return ((sums + scale / 2) / scale).floor().clamp(-MOST, MOST)
