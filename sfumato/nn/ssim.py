"""Structural similarity (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861), differentiable, for the metric and the loss."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
"""(K1 L)² and (K2 L)² for the range L = 1."""


def similarity(a: Images, b: Images) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
    """SSIM in [-1, 1] and its contrast-structure factor, each averaged over windows, for each image and channel, in the dtype of `a`.

    Windows are Gaussian, 11x11 pixels with sigma 1.5, and lie inside the image: both sides must be at least 11 pixels.
    """
    mean_a, mean_b = _windows(a), _windows(b)
    both = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    structure = (2 * (_windows(a * b) - both) + C2) / (_windows(a * a + b * b) - squares + C2)
    luminance = (2 * both + C1) / (squares + C1)
    return (luminance * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))


def _windows(x: Images) -> Float[Tensor, "n c _h _w"]:
    """Gaussian-weighted mean of every window inside the image. Sums of shifted images are faster in float64 than a convolution."""
    raw = [math.exp(-((i - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for i in range(WINDOW)]
    for dim in (2, 3):
        length = x.shape[dim] - WINDOW + 1
        blurred = torch.zeros_like(x.narrow(dim, 0, length))
        for start, weight in enumerate(raw):
            blurred.add_(x.narrow(dim, start, length), alpha=weight / sum(raw))
        x = blurred
    return x
