"""Degraded images with the parameters of their degradation. A degradation maps one `Degraded` to another."""

import dataclasses
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, Kernels, PerImage, Resized
from sfumato.nn.resample import correlate

Plane: TypeAlias = Float[Tensor, "n 1 _h _w"]
Span: TypeAlias = tuple[float, float]
"""Smallest and largest value of a parameter; each image draws its own value in between."""


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """Degraded images, and the parameters of their degradation as targets and conditions of a network."""

    images: Resized
    """Degraded images; not clamped, so that noise keeps its mean."""
    noise: PerImage
    """Standard deviation of the added Gaussian noise, as a share of full scale."""
    observed: Plane
    """Mask: 1 for observed pixels, 0 for missing ones."""
    quality: PerImage
    """JPEG quality over 100; 1 without compression."""
    blur: Kernels
    """Blur kernels, as `nn.resample.correlate` takes them; a single 1 without blur."""


@runtime_checkable
class Degradation(Protocol):
    """Settings that degrade images when called."""

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """`degraded` after one more degradation. Each image depends on itself, the settings and its draws, not on other images."""
        ...


def intact(clean: Images) -> Degraded:
    """`clean` without any degradation."""
    n, _, h, w = clean.shape
    ones = clean.new_ones(n)
    return Degraded(images=clean, noise=0 * ones, observed=clean.new_ones(n, 1, h, w), quality=ones, blur=clean.new_ones(n, 1, 1))


def degrade(degradation: Degradation, clean: Images, *, rng: torch.Generator) -> Degraded:
    """`clean` degraded by `degradation`, with random numbers from `rng`."""
    return degradation(intact(clean), Draws(rng=rng, count=len(clean), device=clean.device))


def blurred(degraded: Degraded, kernels: Kernels) -> Degraded:
    """`degraded` with each image blurred by its own kernel."""
    n, k, _ = kernels.shape
    # The kernel of two blurs is the convolution of their kernels.
    wide = F.conv2d(F.pad(degraded.blur, (k - 1,) * 4)[None], kernels.flip(1, 2)[:, None], groups=n)[0]
    return dataclasses.replace(degraded, images=correlate(degraded.images, kernels), blur=wide)


def ordered(config: object, *names: str) -> None:
    """Raises SettingError if one of the spans called `names` has its larger value first."""
    for name in names:
        low, high = getattr(config, name)
        if low > high:
            raise SettingError(f"{name} = ({low:g}, {high:g}) has the larger value first; write ({high:g}, {low:g})")


def spread(values: Shaped[Tensor, " n"]) -> Shaped[Tensor, "n 1 1 1"]:
    """One value for each image, in a shape that broadcasts over images."""
    return values[:, None, None, None]
