"""What a damaged image is: its pixels, and what is known of the damage. A degradation turns one into another."""

import dataclasses
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, Kernels, PerImage, Resized
from sfumato.nn.resample import correlate

Plane: TypeAlias = Float[Tensor, "n 1 _h _w"]
Span: TypeAlias = tuple[float, float]
"""The smallest and the largest value of something that each image draws for itself."""


@dataclass(frozen=True, kw_only=True)
class Degraded:
    images: Resized
    """Not clamped, so that noise keeps its mean."""
    noise: PerImage
    """Standard deviation of the Gaussian noise that was added, as a share of full scale."""
    observed: Plane
    """1 where the image is to be believed, 0 where it is missing."""
    quality: PerImage
    """JPEG quality over 100; 1 if there was no compression."""
    blur: Kernels
    """What every point was spread to, as `nn.resample.correlate` takes it; a single 1 if there was no blur."""


@runtime_checkable
class Degradation(Protocol):
    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """`degraded`, damaged once more. Depends on the image, the settings and the draws, and not on the other images."""
        ...


def intact(clean: Images) -> Degraded:
    """`clean`, with no damage to it yet."""
    n, _, h, w = clean.shape
    ones = clean.new_ones(n)
    return Degraded(images=clean, noise=0 * ones, observed=clean.new_ones(n, 1, h, w), quality=ones, blur=clean.new_ones(n, 1, 1))


def degrade(degradation: Degradation, clean: Images, *, rng: torch.Generator) -> Degraded:
    """`clean`, damaged by `degradation` with numbers from `rng`."""
    return degradation(intact(clean), Draws(rng=rng, count=len(clean), device=clean.device))


def blurred(degraded: Degraded, kernels: Kernels) -> Degraded:
    """`degraded`, each image blurred with its own kernel."""
    n, k, _ = kernels.shape
    # One blur after another is a wider one: their convolution.
    wide = F.conv2d(F.pad(degraded.blur, (k - 1,) * 4)[None], kernels.flip(1, 2)[:, None], groups=n)[0]
    return dataclasses.replace(degraded, images=correlate(degraded.images, kernels), blur=wide)


def ordered(config: object, *names: str) -> None:
    """Raises SettingError if one of the spans called `names` ends before it begins."""
    for name in names:
        low, high = getattr(config, name)
        if low > high:
            raise SettingError(f"{name} = ({low:g}, {high:g}) ends before it begins; write the smaller one first")


def spread(values: Shaped[Tensor, " n"]) -> Shaped[Tensor, "n 1 1 1"]:
    """`values` in a shape that goes with images."""
    return values[:, None, None, None]


def colourless(images: Images) -> Bool[Tensor, " n"]:
    """Whether all channels of an image are the same; damage to one that is without colour must not bring it any."""
    return (images == images[:, :1]).flatten(1).all(dim=1)
