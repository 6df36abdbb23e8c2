"""What an image is, once and for all.

Between any two rooms an image is float32, NCHW, sRGB, in [0, 1]; in files and in memory-resident data sets it is uint8.
These functions are the only border.

Axes, in every annotation of the package:
    n images   c channels   h rows   w columns   d features
In one signature the same letter is the same number; `Resized` says "of some other size", `Planes` "with other channels", `Maps` both.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "n c h w"]
Resized: TypeAlias = Float[Tensor, "n c _h _w"]
Maps: TypeAlias = Float[Tensor, "n _c _h _w"]
Planes: TypeAlias = Float[Tensor, "n _p h w"]
Other: TypeAlias = Float[Tensor, "_n _c _h _w"]
"""Images beside those that a function is about, of a size of their own."""
Vectors: TypeAlias = Float[Tensor, "n d"]
Styles: TypeAlias = Float[Tensor, "_n styles style_dim"]
"""What steers a generator's layers, coarse to fine: a vector for each."""
PerImage: TypeAlias = Float[Tensor, " n"]
Kernels: TypeAlias = Float[Tensor, "_n _k _k"]
"""What a blur spreads every point to, one for each image: squares with an odd side."""
Labels: TypeAlias = Int64[Tensor, " n"]
Scalar: TypeAlias = Float[Tensor, ""]
Bytes: TypeAlias = UInt8[Tensor, "n c h w"]
Pixels: TypeAlias = UInt8[Tensor, "h w c"]
Sheet: TypeAlias = UInt8[Tensor, "_h _w _c"]
Crop: TypeAlias = Literal["centre", "stretch"]
"""How an image is brought to the size of a network: its middle is cut out, or the whole is stretched."""


def size_text(size: Sequence[int]) -> str:
    """A size (height, width), as all sizes are in the package, in the order in which people read one: width x height.

    >>> size_text((480, 640))
    '640 x 480'
    """
    height, width = size
    return f"{width} x {height}"


def to_images(stored: Bytes) -> Images:
    """Bytes in [0, 255] to images in [0, 1].

    >>> to_images(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).amax().item()
    1.0
    """
    return stored / 255


def to_bytes(images: Images) -> Bytes:
    """Images to bytes, clamped and rounded to nearest; `to_bytes(to_images(b))` is `b`."""
    return (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)


def to_pixels(images: Images, *, columns: int | None = None, gap: int = 2) -> UInt8[Tensor, "_h _w c"]:
    """One sheet with all images in reading order, white `gap` pixels between them; near square unless `columns` is given."""
    n, c, h, w = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n * h / w)))
    rows = math.ceil(n / columns)
    sheet = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), 255, dtype=torch.uint8)
    for i, image in enumerate(to_bytes(images).cpu()):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, top : top + h, left : left + w] = image
    return sheet.permute(1, 2, 0).contiguous()
