"""Classical deconvolution of known blurs: Wiener filter and Richardson-Lucy, as baselines for networks.

Kernels are a stack with one kernel for each image, as in `nn/blurs.py`.
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
    """The Wiener estimate (Wiener 1949) of the sharp images, in [0, 1], under a prior of equal gradient power at all frequencies.

    `noise` is the standard deviation of the noise as a share of full scale, in (0, 1]; the power of the gradients is measured in each
    image. `balance`, in (0, 1e6], scales the regularisation: larger is smoother; 2 is better than the theoretical 1, because the power of
    photographs falls at high frequencies. Pixels outside the border are unknown but blurred into the image: they start as the tapered
    mirror image and are re-estimated `rounds` times, 0 to 1000 (Dempster, Laird & Rubin 1977,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x), which reduces ringing at the border. Raises SettingError for kernels that do not
    fit the images, or for a number outside its range.
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
    # A gradient power of g is an image power of g / roughness; the blur scales the power by |blur|^2, and the noise adds its own.
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
    """The estimate after `steps` Richardson-Lucy iterations, which maximise the likelihood under photon noise; in [0, 1].

    Richardson 1972 (https://doi.org/10.1364/JOSA.62.000055) and Lucy 1974 (https://doi.org/10.1086/111605). More steps, up to 10000, are
    sharper and noisier. Borders are mirrored. Raises SettingError for kernels that do not fit the images, or for steps outside [1, 10000].
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
    """Raises SettingError unless each image has a square kernel of odd side whose weights sum to 1."""
    shape = tuple(kernels.shape)
    if len(shape) != 3 or shape[0] != len(images) or shape[1] != shape[2] or shape[1] % 2 == 0:
        raise SettingError(f"kernels of shape {shape} must be {len(images)} squares with an odd side, one for each image")
    if not torch.allclose(sums := kernels.sum(dim=(1, 2)), torch.ones(()), atol=1e-3):
        raise SettingError(f"kernels sum to {sums.min():g} or more and {sums.max():g} or less; their weights must sum to 1")


def _tapered(images: Maps, blur: Complex[Tensor, "n 1 _h _w"], reach: int) -> Maps:
    """`images` blended within `reach` pixels of the border with their circular blur, so that opposite borders match."""
    sides = images.shape[2:]
    rows, columns = (torch.arange(side, dtype=torch.float32) + 0.5 for side in sides)
    near = [(torch.minimum(t, side - t) / reach).clamp_max(1) for t, side in zip((rows, columns), sides, strict=True)]
    rows, columns = (0.5 - 0.5 * (math.pi * t).cos() for t in near)
    weight, tapered = (rows[:, None] * columns).to(images), images
    for _ in range(3):
        tapered = weight * images + (1 - weight) * torch.fft.irfft2(torch.fft.rfft2(tapered) * blur, s=tuple(sides))
    return tapered


def _gradients(images: Images) -> Float[Tensor, "n c 1 1"]:
    """Mean squared difference between neighbouring pixels, summed over both directions."""
    wider = mirror(images, 1)[:, :, 1:, 1:]
    down, right = wider.diff(dim=2)[:, :, :, :-1], wider.diff(dim=3)[:, :, :-1]
    return (down.square() + right.square()).mean(dim=(2, 3), keepdim=True)
