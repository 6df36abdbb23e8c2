"""Undoing a blur that is known: two filters from before networks, to compare with.

A blur is a stack of kernels as `nn/blurs.py` makes them, one for each image.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Kernels, Maps
from sfumato.nn.resample import correlate, mirror
from sfumato.nn.wiener import centred, roughness


@torch.no_grad()
def wiener(images: Images, *, kernels: Kernels, noise: float, balance: float = 2.0, rounds: int = 10) -> Images:
    """The linear estimate of least squared error (Wiener 1949), in [0, 1], for pictures whose gradients are alike at every frequency.

    `noise` is its standard deviation as a share of full scale; the power of the gradients, which is what is weighed against it, is
    measured in the image. A larger `balance` is smoother, a smaller one sharper and noisier; as photographs fade towards high frequencies,
    2 is better than the 1 of the equation. What lies outside the border has been mixed into the image and is not known: it is begun with
    the tapered mirror image, and `rounds` times replaced by what the estimate says of it (Dempster, Laird & Rubin 1977,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x), so that the border rings little. Raises SettingError for kernels that do not
    fit, or if noise, balance or rounds is outside its range.
    """
    fitting(kernels, images)
    if not 0 < noise <= 1:
        raise SettingError(f"noise = {noise:g} is outside (0, 1] of full scale; nothing but noise keeps the inverse of a blur finite")
    if not 0 < balance <= 1e6:
        raise SettingError(f"balance = {balance:g} is outside (0, 1e6]")
    if not 0 <= rounds <= 1000:
        raise SettingError(f"rounds = {rounds} is outside [0, 1000]")
    (h, w), reach = images.shape[2:], kernels.shape[1]
    mean = images.mean(dim=(2, 3), keepdim=True)
    around = mirror(images - mean, reach)
    high, wide = around.shape[2:]
    blur = torch.fft.rfft2(centred(kernels, high, wide))[:, None].conj()  # correlated, not convolved
    kept = blur.abs().square()
    # Gradients of power g make images of power g / roughness; a blur leaves g |blur|^2 of it, and noise comes on top.
    power = (_gradients(images) - 4 * noise**2).clamp_min(1e-3 * noise**2) / kept.mean(dim=(2, 3), keepdim=True)
    inverse = blur.conj() / (kept + balance * noise**2 * roughness(high, wide).to(images) / power)

    inside = F.pad(torch.ones(h, w), (reach,) * 4).to(images)
    extended = _tapered(around, blur, reach)
    for _ in range(rounds):
        again = torch.fft.irfft2(torch.fft.rfft2(extended) * inverse * blur, s=(high, wide))
        extended = around * inside + again * (1 - inside)
    estimate = torch.fft.irfft2(torch.fft.rfft2(extended) * inverse, s=(high, wide))
    return (estimate[:, :, reach : reach + h, reach : reach + w] + mean).clamp(0, 1)


@torch.no_grad()
def richardson_lucy(images: Images, *, kernels: Kernels, steps: int = 30) -> Images:
    """After `steps` steps towards the likeliest image if the noise is that of photons, in [0, 1].

    Richardson 1972 (https://doi.org/10.1364/JOSA.62.000055) and Lucy 1974 (https://doi.org/10.1086/111605): what is blurred again and
    compared with what was seen says how much brighter each pixel must be. More steps are sharper and noisier. Outside the border the
    image is mirrored. Raises SettingError for kernels that do not fit, or steps outside [1, 10000].
    """
    fitting(kernels, images)
    if not 1 <= steps <= 10_000:
        raise SettingError(f"steps = {steps} is outside [1, 10000]")
    observed = images.clamp_min(0)
    estimate, back = observed.clamp_min(1e-3), kernels.flip(1, 2)
    for _ in range(steps):
        estimate = estimate * correlate(observed / correlate(estimate, kernels).clamp_min(1e-6), back)
    return estimate.clamp(0, 1)


def fitting(kernels: Float[Tensor, "..."], images: Images) -> None:
    """Raises SettingError unless there is for each image a square kernel with an odd side, whose weights sum to 1."""
    shape = tuple(kernels.shape)
    if len(shape) != 3 or shape[0] != len(images) or shape[1] != shape[2] or shape[1] % 2 == 0:
        raise SettingError(f"kernels of shape {shape} must be {len(images)} squares with an odd side, one for each image")
    if not torch.allclose(sums := kernels.sum(dim=(1, 2)), torch.ones(()), atol=1e-3):
        raise SettingError(f"kernels sum to {sums.min():g} or more and {sums.max():g} or less; their weights must sum to 1")


def _tapered(images: Maps, blur: Complex[Tensor, "n 1 _h _w"], reach: int) -> Maps:
    """`images` that within `reach` of the border become what a blur going round the border makes of them: no jump is left there."""
    sides = images.shape[2:]
    rows, columns = (torch.arange(side, dtype=torch.float32) + 0.5 for side in sides)
    near = [(torch.minimum(t, side - t) / reach).clamp_max(1) for t, side in zip((rows, columns), sides, strict=True)]
    rows, columns = (0.5 - 0.5 * (math.pi * t).cos() for t in near)
    weight, tapered = (rows[:, None] * columns).to(images), images
    for _ in range(3):
        tapered = weight * images + (1 - weight) * torch.fft.irfft2(torch.fft.rfft2(tapered) * blur, s=tuple(sides))
    return tapered


def _gradients(images: Images) -> Float[Tensor, "n c 1 1"]:
    """Mean squared difference between neighbours, both directions together."""
    wider = mirror(images, 1)[:, :, 1:, 1:]
    down, right = wider.diff(dim=2)[:, :, :, :-1], wider.diff(dim=3)[:, :, :-1]
    return (down.square() + right.square()).mean(dim=(2, 3), keepdim=True)
