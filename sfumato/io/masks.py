"""Masks of pictures, read from files or images in one way for all tasks: white marks where a task works, black what stays.

file ─ read ─┐
layers ──────┴─ brightness, in [0, 1] ─ observed ─> 1 where the mask is dark or transparent, 0 where it is bright
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from sfumato.core.errors import ImageError
from sfumato.core.tensors import Maps, Planes, size_text
from sfumato.io import decode, files
from sfumato.io.channels import as_images

THRESHOLD = 0.5
"""Brightness from which on a pixel of a mask counts as white."""


def brightness(layers: Maps, opacity: Planes | None = None) -> Planes:
    """The brightest channel of each pixel times its opacity, in [0, 1]: (n, 1, h, w)."""
    brightest = layers.amax(dim=1, keepdim=True)
    return brightest if opacity is None else brightest * opacity


def dark(brightness: Planes) -> Planes:
    """1 where a mask of this brightness is dark, 0 where it is bright."""
    return (brightness < THRESHOLD).float()


def check_size(path: Path, mask: Sequence[int], picture: Sequence[int]) -> None:
    """Raises ImageError if the height and width of the mask at `path` differ from those of the picture."""
    if tuple(mask) != tuple(picture):
        raise ImageError(f"{path}: the mask is {size_text(mask)} pixels, the picture {size_text(picture)}; they must be the same")


def read(path: Path, size: Sequence[int]) -> Planes:
    """The brightness of the mask at `path`. Raises ImageError if it is no picture, or its height and width are not `size`."""
    picture = files.read(path)
    check_size(path, picture.pixels.shape[:2], size)
    return brightness(as_images(picture.pixels), None if picture.alpha is None else as_images(picture.alpha))


def read_resized(path: Path, size: tuple[int, int]) -> Planes:
    """1 where the mask at `path`, cut and resized to height and width `size`, is bright. Raises ImageError if it is no picture."""
    pixels = decode.decode(path, str(path), channels=1, size=size)
    return (torch.from_numpy(pixels[None, None, :, :, 0].copy()) > 127).float()


def observed(brightness: Planes, name: str) -> Planes:
    """`dark` of a mask whose bright pixels are to be filled. Raises ImageError, naming the mask, if it is dark or bright everywhere."""
    is_dark = dark(brightness)
    if bool((is_dark == 0).all()):
        raise ImageError(f"{name}: the mask is white everywhere, so nothing is left to fill in from; paint black what is to stay")
    if bool((is_dark == 1).all()):
        largest = float(brightness.max())
        hint = f" (its brightest pixel is {largest:.1%} of white: multiply a mask of 0 and 1 by 255)" if 0 < largest < 1.5 / 255 else ""
        raise ImageError(f"{name}: the mask is black everywhere, so there is nothing to fill in; paint white where to fill in{hint}")
    return is_dark
