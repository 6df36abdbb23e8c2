"""One picture of any kind, with the channels and the size that a network takes."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images, to_images
from sfumato.io import decode, files
from sfumato.io.channels import as_pixels
from sfumato.io.inputs import PictureInput, convert, opened, pil_image
from sfumato.nn.resample import resize


def fit(picture: PictureInput, *, channels: int, size: tuple[int, int] | None) -> Images:
    """One picture with these channels and this size (height, width), (1, c, h, w): its largest middle piece; at its own size for None.

    The picture is resized as 8-bit pixels with Lanczos' filter, its opacity laid over white; a tensor or an array that has the size and
    the channels already keeps its numbers. Only a tensor has other channels than a file can have, 1 to 4; it is resized as it is. Raises
    ImageError as `convert`, and for a tensor of other channels.
    """
    if channels > 4 and not isinstance(picture, Tensor):
        raise ImageError(f"no picture file has the {channels} channels of this model's images; give a tensor")
    if isinstance(picture, Image.Image):
        with decode.reading("the picture"):
            return _from_bytes(decode.prepare(decode.upright(picture), channels=channels, size=size, crop="centre"))
    if not isinstance(picture, Tensor | np.ndarray | files.Picture):
        with opened(picture) as (path, file):
            return _from_bytes(decode.decode(file, str(path), channels=channels, size=size))
    source = convert(picture)
    own = source.images.shape[1]
    if isinstance(picture, Tensor) and own not in (1, 3, channels):
        raise ImageError(f"a tensor of shape {tuple(picture.shape)} and {picture.dtype} is not one image of {channels} channels in [0, 1]")
    if own == channels in (2, 4) or channels > 4:
        images = source.images.expand(-1, channels, -1, -1)
        return images.clone() if size is None else _cropped(images, size)
    if source.alpha is None and own in (1, channels) and size in (None, tuple(source.images.shape[2:])):
        return source.images.expand(-1, channels, -1, -1).clone(memory_format=torch.contiguous_format)
    alpha = None if source.alpha is None else as_pixels(source.alpha, torch.uint8)
    image = pil_image(as_pixels(source.images, torch.uint8), alpha, grey=own == 1)
    return _from_bytes(decode.prepare(image, channels=channels, size=size, crop="centre"))


def _from_bytes(pixels: decode.EightBit) -> Images:
    return to_images(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None])


def _cropped(images: Images, size: tuple[int, int]) -> Images:
    (h, w), (tall, wide) = size, images.shape[2:]
    scale = min(tall / h, wide / w)
    high, broad = max(1, round(h * scale)), max(1, round(w * scale))
    top, left = (tall - high) // 2, (wide - broad) // 2
    middle = images[:, :, top : top + high, left : left + broad]
    return middle.clone() if (high, broad) == (h, w) else resize(middle, (h, w)).clamp(0, 1)
