"""Pictures of all kinds as the pixels that a codec takes: 8 bits, sRGB, with opacity apart."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageCms
from torch import Tensor

from sfumato.core.tensors import Pixels
from sfumato.io import files
from sfumato.io.bit_depth import eight_bits
from sfumato.io.channels import as_images, as_pixels, fill_transparent
from sfumato.io.inputs import BinaryFile, PictureInput, convert, read


@dataclass(frozen=True, kw_only=True)
class Source:
    """A picture that is ready to be compressed."""

    pixels: Pixels
    """Colour (h, w, 3); grey pictures have three equal channels."""
    grey: bool
    alpha: UInt8[Tensor, "h w 1"] | None = None
    """Opacity; None if all is opaque."""
    icc: bytes = b""
    exif: bytes = b""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def source_of(picture: PictureInput, *, keep_metadata: bool = False) -> Source:
    """The pixels of `picture` in sRGB. With `keep_metadata`, its own colours and their profile, and its EXIF.

    Raises ImageError as `inputs.convert` does, and for a tensor of several images.
    """
    own = _picture(picture)
    pixels, alpha = own.in_8_bits(), None if own.alpha is None else eight_bits(own.alpha)
    icc = own.icc
    if icc and not keep_metadata:
        pixels, icc = _in_srgb(pixels, icc)
    if alpha is not None and bool((alpha == 255).all()):
        alpha = None
    if alpha is not None and bool((alpha == 0).any()):
        # Invisible colours are free: such as cost the fewest bits are taken.
        pixels = as_pixels(fill_transparent(as_images(pixels), as_images(alpha)), torch.uint8)
    return Source(pixels=pixels.expand(-1, -1, 3), grey=pixels.shape[2] == 1, alpha=alpha, icc=icc, exif=own.exif if keep_metadata else b"")


def _picture(picture: PictureInput) -> files.Picture:
    """A picture of whatever kind as pixels with metadata."""
    if isinstance(picture, files.Picture):
        return picture
    if isinstance(picture, str | bytes | bytearray | BinaryFile) or hasattr(picture, "__fspath__"):
        return read(picture)  # pyright: ignore[reportArgumentType]
    info = picture.info if isinstance(picture, Image.Image) else {}
    converted = convert(picture)
    alpha = None if converted.alpha is None else as_pixels(converted.alpha, torch.uint8)
    return files.Picture(
        pixels=as_pixels(converted.images, torch.uint8), alpha=alpha, icc=info.get("icc_profile") or b"", exif=info.get("exif") or b""
    )


def _in_srgb(pixels: Pixels, icc: bytes) -> tuple[Pixels, bytes]:
    """Pixels in sRGB without a profile; as they are, with their profile, if it cannot be applied."""
    mode = "L" if pixels.shape[2] == 1 else "RGB"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        image = Image.fromarray(pixels[:, :, 0].numpy() if mode == "L" else pixels.contiguous().numpy())
        changed = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return pixels, icc
    assert changed is not None
    result = torch.from_numpy(np.asarray(changed).copy())
    return result[:, :, :1].contiguous() if mode == "L" else result, b""
