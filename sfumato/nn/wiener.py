"""Wiener filters of known blurs, with limited support."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, Kernels, PerImage
from sfumato.nn.resample import mirror

GRADIENTS = 0.008
"""Mean squared difference between neighbouring pixels of photographs in [0, 1], summed over both directions."""
_LEAST = 1 / 255
"""Lower bound of the assumed noise: rounding, and the regularisation that an inverse filter needs."""


def inverse_filters(kernels: Kernels, noise: PerImage, *, balance: float, reach: int) -> Kernels:
    """The Wiener filters of each blur (Wiener 1949), 2 `reach` + 1 pixels a side, tapered at the ends; weights sum to 1.

    `noise` is the standard deviation of the noise as a share of full scale, one for each kernel. Images are assumed to have a gradient
    power that is equal at all frequencies, as photographs approximately have. A larger `balance` gives smoother results.
    """
    side = 4 * reach
    blur = torch.fft.rfft2(centred(kernels, side, side))
    loss = balance * noise.clamp_min(_LEAST).square() / GRADIENTS
    ideal = blur.conj() / (blur.abs().square() + loss[:, None, None] * roughness(side, side).to(kernels))
    # Blur and inverse are correlations, which flip the kernel; the complex conjugate accounts for both flips.
    filters = torch.fft.irfft2(ideal, s=(side, side)).roll((reach, reach), dims=(1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    place = torch.linspace(-1, 1, 2 * reach + 1, device=kernels.device)
    fade = (2 - 2 * place.abs()).clamp_max(1)
    filters = filters * fade[:, None] * fade
    return filters / filters.sum(dim=(1, 2), keepdim=True)


def apply_filters(images: Images, filters: Kernels) -> Images:
    """Each image correlated with its own filter by FFT, in float32; borders are mirrored."""
    (h, w), reach = images.shape[2:], filters.shape[1] // 2
    around = mirror(images.float(), reach)
    sides = tuple(_smooth(side) for side in around.shape[2:])
    spectrum = torch.fft.rfft2(around, s=sides) * torch.fft.rfft2(centred(filters, *sides)).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=sides)[:, :, reach : reach + h, reach : reach + w]


def centred(kernels: Kernels, h: int, w: int) -> Float[Tensor, "n _h _w"]:
    """Kernels placed on zero images of (`h`, `w`) with their centres at pixel (0, 0), wrapped around the borders."""
    n, k, _ = kernels.shape
    rows, columns = ((torch.arange(k) - k // 2).remainder(side) for side in (h, w))
    place = (rows[:, None] * w + columns).flatten().to(kernels.device)
    return kernels.new_zeros(n, h * w).index_add_(1, place, kernels.flatten(1)).reshape(n, h, w)


def roughness(h: int, w: int) -> Float[Tensor, "_h _w"]:
    """Squared magnitude of the horizontal and vertical difference filters at each frequency of `rfft2`: 0 to 8."""
    rows, columns = torch.fft.fftfreq(h), torch.fft.rfftfreq(w)
    return 4 * ((math.pi * rows).sin().square()[:, None] + (math.pi * columns).sin().square())


def _smooth(length: int) -> int:
    """The smallest length of at least `length` without prime factors above 5, for which the FFT is fast."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
