"""Blur kernels: Gaussian, defocus (a disk) and linear motion, and their names such as `motion:9@30`.

Kernels are stacked, one for each image, as `nn.resample.correlate` takes them; the weights of each sum to 1.
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
"""Sampled camera positions for each pixel of the path."""


@dataclass(frozen=True)
class Blur:
    """Kind, size and, for motion, direction of a blur. `str` gives its name.

    >>> str(Blur("motion", 9.0, 30.0)), str(Blur("gaussian", 1.6))
    ('motion:9@30', 'gaussian:1.6')
    """

    kind: Kind
    size: float
    """In pixels: the standard deviation of a Gaussian, the radius of a defocus disk, the length of a camera's path."""
    angle: float = 0.0
    """Direction of motion in degrees, from the horizontal towards the bottom; 0 for other kinds."""

    @property
    def sigma(self) -> float:
        """Standard deviation in pixels of the Gaussian of the same spread; for motion, averaged over the directions."""
        return self.size * {"gaussian": 1.0, "defocus": 0.5, "motion": math.sqrt(1 / 24)}[self.kind]

    @property
    def widest(self) -> float:
        """Standard deviation in pixels along the direction of the largest spread."""
        return self.sigma * (math.sqrt(2) if self.kind == "motion" else 1.0)

    def kernels(self, count: int = 1) -> Kernels:
        """The kernel of this blur, repeated `count` times: (count, side, side)."""
        return point_spread(self.kind, self.size, angle=self.angle, count=count)

    def __str__(self) -> str:
        return f"{self.kind}:{self.size:g}" + (f"@{self.angle:g}" if self.kind == "motion" else "")


def named(text: str) -> Blur:
    """The blur with a name such as gaussian:1.6, motion:9@30 or defocus:3, in pixels and degrees. Raises SettingError for other text."""
    match = re.fullmatch(r"(gaussian|motion|defocus):(\d+(?:\.\d+)?)(?:@(\d+(?:\.\d+)?))?", text)
    if not match or (match[3] and match[1] != "motion"):
        raise SettingError(
            f"blur = {text!r} is not a blur; write gaussian:1.6 (standard deviation in pixels), "
            "motion:9@30 (length in pixels, angle in degrees) or defocus:3 (radius in pixels)"
        )
    kind = cast(Kind, match[1])
    if not 0 < float(match[2]) <= 100:
        raise SettingError(f"{kind} of size {match[2]} is outside (0, 100] pixels")
    return Blur(kind, float(match[2]), float(match[3] or 0))


def point_spread(kind: Kind, size: float, *, angle: float = 0.0, count: int = 1) -> Kernels:
    """The kernel of a blur, of the smallest side that holds it, repeated `count` times: (count, side, side).

    `size` and `angle` are as in `Blur`. Raises SettingError for a size outside (0, 100].
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
    """Gaussian kernels of 2 `reach` + 1 pixels a side, sampled at pixels.

    `long` and `short` are the standard deviations in pixels along and across `angle` (radians from the row), one for each kernel.
    """
    place = torch.arange(-reach, reach + 1, dtype=torch.float32, device=long.device)
    y, x = torch.meshgrid(place, place, indexing="ij")
    a, long, short = (v[:, None, None] for v in (angle, long.clamp_min(1e-3), short.clamp_min(1e-3)))
    along, across = x * a.cos() + y * a.sin(), y * a.cos() - x * a.sin()
    weights = torch.exp(-((along / long).square() + (across / short).square()) / 2)
    return weights / weights.sum(dim=(1, 2), keepdim=True)


def disk(radius: PerImage, *, reach: int, fine: int = 8) -> Kernels:
    """Disk kernels of 2 `reach` + 1 pixels a side; a pixel on the rim is weighted by the share of its `fine` x `fine` points inside."""
    place = (torch.arange((2 * reach + 1) * fine, device=radius.device) + 0.5) / fine - 0.5 - reach
    far = (place[:, None].square() + place.square()).sqrt()
    # A radius of half a pixel is the smallest: the middle pixel alone, which leaves an image unchanged.
    inside = (far <= radius[:, None, None].clamp_min(0.5)).float()
    k = 2 * reach + 1
    weights = inside.reshape(-1, k, fine, k, fine).sum(dim=(2, 4))
    return weights / weights.sum(dim=(1, 2), keepdim=True)


def motion_kernels(length: PerImage, angle: PerImage, *, reach: int) -> Kernels:
    """Kernels, 2 `reach` + 1 pixels a side, of a camera on a straight path of `length` pixels at `angle` (radians from the row).

    Each sampled position on the path adds to the pixel that contains it: a path of n pixels along a row gives n equal weights.
    """
    count = (2 * reach + 1) * _STEPS
    t = (torch.arange(count, device=length.device) + 0.5) / count - 0.5
    place = torch.arange(-reach, reach + 1, device=length.device)
    offsets = length[:, None] * t
    x, y = ((offsets * part[:, None])[:, :, None].sub(place).abs() < 0.5 for part in (angle.cos(), angle.sin()))
    weights = y.float().mT @ x.float()
    return weights / weights.sum(dim=(1, 2), keepdim=True)
