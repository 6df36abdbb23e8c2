"""Blurs as kernels: Gaussians, the disks of a lens out of focus, the ways of a camera that moved. And as what a person calls them.

Kernels come as a stack, one for each image, which is what `nn.resample.correlate` takes; their weights sum to 1.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Kernels, PerImage

Kind = Literal["gaussian", "defocus", "motion"]

_STEPS = 16
"""Places of the camera for each pixel of the way."""


@dataclass(frozen=True)
class Blur:
    """What a blur is called: its kind, its size and, of motion alone, its direction.

    >>> str(Blur("motion", 9.0, 30.0)), str(Blur("gaussian", 1.6))
    ('motion:9@30', 'gaussian:1.6')
    """

    kind: Kind
    size: float
    """In pixels: the standard deviation of a Gaussian, the radius of a lens out of focus, the length of a camera's way."""
    angle: float = 0.0
    """In degrees from the horizontal towards the bottom."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian that spreads a point as far, in pixels; of motion, the mean over the directions."""
        return self.size * {"gaussian": 1.0, "defocus": 0.5, "motion": math.sqrt(1 / 24)}[self.kind]

    @property
    def widest(self) -> float:
        """The same in the direction in which it spreads a point farthest."""
        return self.sigma * (math.sqrt(2) if self.kind == "motion" else 1.0)

    def kernels(self, count: int = 1) -> Kernels:
        """`count` times its kernel."""
        return point_spread(self.kind, self.size, angle=self.angle, count=count)

    def __str__(self) -> str:
        return f"{self.kind}:{self.size:g}" + (f"@{self.angle:g}" if self.kind == "motion" else "")


def named(text: str) -> Blur:
    """The blur called gaussian:1.6, motion:9@30 or defocus:3, in pixels and degrees. Raises SettingError for anything else."""
    match = re.fullmatch(r"(gaussian|motion|defocus):(\d+(?:\.\d+)?)(?:@(\d+(?:\.\d+)?))?", text)
    if not match or (match[3] and match[1] != "motion"):
        raise SettingError(
            f"blur = {text!r} is not a blur; write gaussian:1.6 (standard deviation in pixels), motion:9@30 (length in pixels, angle in "
            "degrees) or defocus:3 (radius in pixels)"
        )
    kind = cast(Kind, match[1])
    if not 0 < float(match[2]) <= 100:
        raise SettingError(f"{kind} of size {match[2]} is outside (0, 100] pixels")
    return Blur(kind, float(match[2]), float(match[3] or 0))


def point_spread(kind: Kind, size: float, *, angle: float = 0.0, count: int = 1) -> Kernels:
    """`count` times the kernel of a blur, as small as holds it.

    `size` and `angle` are those of a `Blur`. Raises SettingError for a size that is not in (0, 100].
    """
    if not 0 < size <= 100:
        raise SettingError(f"{kind} of size {size:g} is outside (0, 100] pixels")
    sizes, angles = torch.full((count,), float(size)), torch.full((count,), math.radians(angle))
    if kind == "gaussian":
        return gaussian(sizes, sizes, angles, reach=math.ceil(3.5 * size))
    if kind == "defocus":
        return disk(sizes, reach=math.ceil(size))
    return motion_kernels(sizes, angles, reach=math.ceil(size / 2))


def gaussian(long: Tensor, short: Tensor, angle: Tensor, *, reach: int) -> Kernels:
    """Gaussian kernels with these standard deviations along and across `angle` (radians, from the row), sampled at pixels."""
    place = torch.arange(-reach, reach + 1, dtype=torch.float32, device=long.device)
    y, x = torch.meshgrid(place, place, indexing="ij")
    a, long, short = (v[:, None, None] for v in (angle, long.clamp_min(1e-3), short.clamp_min(1e-3)))
    along, across = x * a.cos() + y * a.sin(), y * a.cos() - x * a.sin()
    weights = torch.exp(-((along / long).square() + (across / short).square()) / 2)
    return weights / weights.sum(dim=(1, 2), keepdim=True)


def disk(radius: PerImage, *, reach: int, fine: int = 8) -> Kernels:
    """Disks; a pixel on the rim counts by how many of its `fine` x `fine` points lie inside."""
    place = (torch.arange((2 * reach + 1) * fine, device=radius.device) + 0.5) / fine - 0.5 - reach
    far = (place[:, None].square() + place.square()).sqrt()
    # Never smaller than half a pixel: the middle pixel alone, which changes nothing.
    inside = (far <= radius[:, None, None].clamp_min(0.5)).float()
    k = 2 * reach + 1
    weights = inside.reshape(-1, k, fine, k, fine).sum(dim=(2, 4))
    return weights / weights.sum(dim=(1, 2), keepdim=True)


def motion_kernels(length: PerImage, angle: PerImage, *, reach: int) -> Kernels:
    """Kernels of a camera on a straight way of `length` pixels at `angle` (radians).

    Each place on the way lights the pixel that it lies in: a way of n pixels along a row is n equal weights.
    """
    count = (2 * reach + 1) * _STEPS
    t = (torch.arange(count, device=length.device) + 0.5) / count - 0.5
    place = torch.arange(-reach, reach + 1, device=length.device)
    offsets = length[:, None] * t
    x, y = ((offsets * part[:, None])[:, :, None].sub(place).abs() < 0.5 for part in (angle.cos(), angle.sin()))
    weights = y.float().mT @ x.float()
    return weights / weights.sum(dim=(1, 2), keepdim=True)
