"""Inverse filters of blurs that are known, short enough that what is far away does not matter."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, Kernels, PerImage
from sfumato.nn.resample import mirror

GRADIENTS = 0.008
"""Mean squared difference between neighbours, both directions together, of photographs in [0, 1]."""
_LEAST = 1 / 255
"""Noise that is assumed at least: that of rounding, and some that an inverse cannot do without."""


def inverse(kernels: Kernels, noise: PerImage, *, balance: float, reach: int) -> Kernels:
    """The filter of 2 `reach` + 1 pixels a side that undoes each blur with least squared error (Wiener 1949); its weights sum to 1.

    `noise` is its standard deviation as a share of full scale; the image is taken for a photograph, whose gradients are alike at every
    frequency. A larger `balance` is smoother. The ends of the filter fade out.
    """
    side = 4 * reach
    blur = torch.fft.rfft2(centred(kernels, side, side))
    loss = balance * noise.clamp_min(_LEAST).square() / GRADIENTS
    ideal = blur.conj() / (blur.abs().square() + loss[:, None, None] * roughness(side, side).to(kernels))
    # The blur is correlated, and so is its inverse: both turn the kernel round, which the conjugate undoes.
    filters = torch.fft.irfft2(ideal, s=(side, side)).roll((reach, reach), dims=(1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    place = torch.linspace(-1, 1, 2 * reach + 1, device=kernels.device)
    fade = (2 - 2 * place.abs()).clamp_max(1)
    filters = filters * fade[:, None] * fade
    return filters / filters.sum(dim=(1, 2), keepdim=True)


def filtered(images: Images, filters: Kernels) -> Images:
    """Each image correlated with its own long filter, by way of the spectrum; outside the border the image is mirrored."""
    (h, w), reach = images.shape[2:], filters.shape[1] // 2
    around = mirror(images.float(), reach)
    sides = tuple(_smooth(side) for side in around.shape[2:])
    spectrum = torch.fft.rfft2(around, s=sides) * torch.fft.rfft2(centred(filters, *sides)).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=sides)[:, :, reach : reach + h, reach : reach + w]


def centred(kernels: Kernels, h: int, w: int) -> Float[Tensor, "n _h _w"]:
    """Kernels on an otherwise empty torus with their middle at the first pixel; one that is larger goes round it."""
    n, k, _ = kernels.shape
    rows, columns = ((torch.arange(k) - k // 2).remainder(side) for side in (h, w))
    place = (rows[:, None] * w + columns).flatten().to(kernels.device)
    return kernels.new_zeros(n, h * w).index_add_(1, place, kernels.flatten(1)).reshape(n, h, w)


def roughness(h: int, w: int) -> Float[Tensor, "_h _w"]:
    """Power of the two differences between neighbours at each frequency of `rfft2`: 0 to 8."""
    rows, columns = torch.fft.fftfreq(h), torch.fft.rfftfreq(w)
    return 4 * ((math.pi * rows).sin().square()[:, None] + (math.pi * columns).sin().square())


def _smooth(length: int) -> int:
    """The next length without prime factors above 5, for which the transform is fast."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
