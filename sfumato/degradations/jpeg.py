"""JPEG compression by libjpeg, through Pillow."""

import dataclasses
import io
from typing import Annotated, Literal

import torch
from PIL import Image

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.rng import Draws
from sfumato.core.tensors import Images, PerImage, Pixels, to_bytes, to_images
from sfumato.degradations.base import Degraded, Span, ordered

Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]


@settings
class Config:
    """Settings of JPEG compression."""

    id = "jpeg"
    quality: Annotated[Span, Range(1, 100)] = (10.0, 95.0)
    """Quality of libjpeg, drawn uniformly and rounded."""
    subsampling: Subsampling = "4:2:0"
    """Chroma subsampling: resolution of the colour channels."""

    def check(self) -> None:
        ordered(self, "quality")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """Images are clamped and rounded to bytes before compression. Raises SettingError for images that are neither grey nor RGB."""
        if degraded.images.shape[1] not in (1, 3):
            raise SettingError(f"jpeg: images have {degraded.images.shape[1]} channels; JPEG stores 1 (grey) or 3 (RGB)")
        quality = draws.within(*self.quality).round()
        images = recompressed(degraded.images, quality, self.subsampling)
        return dataclasses.replace(degraded, images=images, quality=torch.minimum(degraded.quality, quality / 100))


def recompressed(images: Images, quality: PerImage, subsampling: Subsampling = "4:2:0") -> Images:
    """Grey or RGB `images` as they come out of JPEG files of such a `quality` (whole numbers from 1 to 100), one for each image."""
    stored = to_bytes(images).cpu().permute(0, 2, 3, 1)
    read = [_compressed(pixels, int(q), subsampling) for pixels, q in zip(stored, quality.tolist(), strict=True)]
    return to_images(torch.stack(read).permute(0, 3, 1, 2)).to(images)


def _compressed(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """`pixels` after encoding and decoding."""
    grey = pixels.shape[2] == 1
    picture = Image.fromarray(pixels[:, :, 0].numpy() if grey else pixels.contiguous().numpy())
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, **({} if grey else {"subsampling": subsampling}))
    data = Image.open(file).tobytes()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(pixels.shape)
