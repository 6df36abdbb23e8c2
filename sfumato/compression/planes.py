"""Latents of large images, piece by piece: each piece is computed with a border of its neighbours, so that no seam shows."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int32
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.finite_output import finite
from sfumato.core.tensors import Maps, PerImage, Pixels, Sheet
from sfumato.io.channels import as_images, as_pixels
from sfumato.models.roles.codec import Codec, level_of

PIECE = 64
"""Side of the pieces for which the network is run, in positions of the latent."""


Plane = Int32[Tensor, "_c _h _w"]
"""The latent of a whole image, times 256: in 32 bits, because that of a large image takes much memory."""


class Area(NamedTuple):
    """A rectangle of positions of a latent."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def widened(self, by: int, size: tuple[int, int]) -> "Area":
        """The rectangle with `by` more positions on each side, within a latent of `size`."""
        return Area(max(0, self.top - by), max(0, self.left - by), min(size[0], self.bottom + by), min(size[1], self.right + by))


def latent_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of the latent of an image of `size`."""
    return -(-size[0] // stride), -(-size[1] // stride)


def areas(size: tuple[int, int], side: int) -> Iterator[Area]:
    """Squares of `side` positions that cover a latent of `size`, in reading order; the last ones may be smaller."""
    for top in range(0, size[0], side):
        for left in range(0, size[1], side):
            yield Area(top, left, min(size[0], top + side), min(size[1], left + side))


def encoded(network: Codec, pixels: Pixels, area: Area, quality: int) -> Maps:
    """The latent of the `area` of an image of bytes (h, w, 3), before rounding; borders of the image are repeated beyond it.

    Raises ImageError if the network makes numbers that are not finite.
    """
    wide = area.widened(network.halo, latent_size((pixels.shape[0], pixels.shape[1]), network.stride))
    step = network.stride
    part = pixels[wide.top * step : wide.bottom * step, wide.left * step : wide.right * step]
    images = as_images(part)
    rows, columns = (count * step for count in wide.size)
    images = F.pad(images, (0, columns - images.shape[3], 0, rows - images.shape[2]), mode="replicate")
    latent = finite(network.encode(images, _level(quality)), network)
    top, left = area.top - wide.top, area.left - wide.left
    return latent[:, :, top : top + area.size[0], left : left + area.size[1]]


def hyper_encoded(network: Codec, latent: Maps, quality: int) -> Maps:
    """The hyperlatent of a latent of any size, before rounding; its borders are repeated to whole squares."""
    h, w = latent.shape[2:]
    step = network.hyper_stride
    return network.hyper_encode(F.pad(latent, (0, -w % step, 0, -h % step), mode="replicate"), _level(quality))


def decoded(network: Codec, latent: Plane, size: tuple[int, int], quality: int) -> Pixels:
    """The image of `size` of a latent (c, h, w), times 256, as bytes (h, w, 3).

    Raises ImageError if the network makes numbers that are not finite.
    """
    step, whole = network.stride, (latent.shape[1], latent.shape[2])
    pixels = torch.empty(*size, 3, dtype=torch.uint8)
    for area in areas(whole, PIECE):
        wide = area.widened(network.halo, whole)
        values = latent[:, wide.top : wide.bottom, wide.left : wide.right][None].float() / 256
        images = finite(network.decode(values, _level(quality)).float(), network)
        top, left = (area.top - wide.top) * step, (area.left - wide.left) * step
        target = pixels[area.top * step : area.bottom * step, area.left * step : area.right * step]
        part = images[:, :, top : top + target.shape[0], left : left + target.shape[1]]
        target.copy_(as_pixels(part, torch.uint8))
    return pixels


def _level(quality: int) -> PerImage:
    return torch.tensor([level_of(quality)])


def reduced(pixels: Pixels, scale: int) -> Sheet:
    """Bytes (h, w, 3) with sides `scale` times shorter, rounded up: means of squares, row by row to save memory."""
    rows = []
    for part in pixels.split(scale):
        image = part.permute(2, 0, 1)[None].float()
        padded = F.pad(image, (0, -image.shape[3] % scale, 0, 0), mode="replicate")
        rows.append(F.avg_pool2d(padded, (image.shape[2], scale))[0, :, 0].T)
    return torch.stack(rows).round().to(torch.uint8)


def enlarged(pixels: Pixels, scale: int, area: tuple[int, int, int, int]) -> Sheet:
    """The pixels (top, left, bottom, right) of a picture of which `pixels` are `reduced`, without its details."""
    top, left, bottom, right = area
    rows, columns = ((torch.arange(a, b) + 0.5) / scale - 0.5 for a, b in ((top, bottom), (left, right)))
    values = pixels.float()
    for dim, places in enumerate((rows, columns)):
        held = places.clamp(0, values.shape[dim] - 1)
        low = held.floor().long()
        high = (low + 1).clamp(max=values.shape[dim] - 1)
        share = (held - low).reshape(*([-1, 1, 1] if dim == 0 else [1, -1, 1]))
        values = values.index_select(dim, low) * (1 - share) + values.index_select(dim, high) * share
    return values.round().to(torch.uint8)
