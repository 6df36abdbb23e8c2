"""Structural similarity (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861), differentiable, for the metric and the loss."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images

WINDOW = 11
SIGMA = 1.5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weight of each scale in MS-SSIM, finest first; the sum is 1."""
SMALLEST = (WINDOW - 1) * 2 ** (len(SCALES) - 1) + 1
"""Smallest side in pixels of an image that has an MS-SSIM."""
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


def multiscale_similarity(a: Images, b: Images, *, least: float = 0.0) -> Float[Tensor, "n c"]:
    """MS-SSIM of each image and channel, in the dtype of `a` (Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216).

    The product of contrast and structure of every scale and the luminance of the coarsest, each to the power of its weight. Each scale is
    the 2x2 mean of the finer one; at an odd size the last row or column is the mean of fewer pixels. A factor below `least` counts as
    `least`: above 0, every gradient is finite. Both sides must be at least `SMALLEST` pixels.
    """
    product = a.new_ones(a.shape[:2])
    for scale, weight in enumerate(SCALES):
        whole, structure = similarity(a, b)
        term = whole if scale == len(SCALES) - 1 else structure
        product = product * term.clamp(min=least) ** weight
        a, b = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (a, b))
    return product


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
