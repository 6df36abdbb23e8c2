"""One image file, from anywhere, to upright 8-bit pixels of the size and channels asked for; nothing else gets in.

Reads PNG, JPEG, WebP, BMP, GIF and TIFF, of which the first frame or page. The header is judged before any pixel is decoded.
"""

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sfumato.core.errors import ImageError

Crop = Literal["centre", "stretch"]
EightBit = UInt8[np.ndarray, "h w c"]
Opened = io.BufferedReader | io.BytesIO
Source = Path | Callable[[], Opened]
"""Where the bytes of a file come from: its path, or what opens it."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""What the names of image files end in, in lower case."""

MAX_PIXELS = 100_000_000
"""A file whose header promises more is refused unread."""

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")
WIDE = ("I", "I;16", "I;16L", "I;16B")
"""Pillow's modes for grey of more than 8 bits."""


class Facts(NamedTuple):
    """What can be known without decoding."""

    size: tuple[int, int]
    """Height and width once upright."""
    grey: bool


@contextlib.contextmanager
def opened(source: Source, name: str, *, limit: int | None = MAX_PIXELS) -> Iterator[Image.Image]:
    """The image with only its header read. Whatever goes wrong inside becomes an ImageError that begins with `name`.

    Without a `limit` of pixels there is none: do not decode what comes.
    """
    with (
        reading(name),
        source.open("rb") if isinstance(source, Path) else source() as file,
        Image.open(file, formats=FORMATS) if limit else _header(file) as image,
    ):
        if limit and math.prod(image.size) > limit:
            raise Image.DecompressionBombError(f"{math.prod(image.size)} pixels")
        yield image


def refuse_several(image: Image.Image) -> None:
    """Raises ImageError for what has more frames or pages than one picture can keep."""
    if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:  # the others of an MPO are previews
        raise ImageError(f"has {frames} frames or pages, of which only the first could be kept: take it apart first")


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns whatever goes wrong while the file `name` is read into an ImageError that begins with it."""
    try:
        yield
    except ImageError as error:
        raise error if str(error).startswith(f"{name}: ") else ImageError(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        size = f"{int(pixels[0]) / 1e6:.0f} megapixels, " if pixels else ""
        raise ImageError(f"{name}: {size}larger than the {MAX_PIXELS // 1_000_000} megapixels allowed; make it smaller") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: is not an image of a known kind ({', '.join(FORMATS)})") from error
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error})") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(f"{name}: is damaged ({' '.join(str(error).split()) or type(error).__name__})") from error


def facts(source: Source, name: str) -> Facts:
    """Size and colour of an image file, from its header; raises ImageError if it is none."""
    with opened(source, name) as image:
        width, height = image.size
        return Facts((width, height) if _turned(image) else (height, width), _is_grey(image))


def decode(source: Source, name: str, *, channels: int, size: tuple[int, int] | None = None, crop: Crop = "centre") -> EightBit:
    """The pixels, upright, with 1 (grey), 2 (and alpha), 3 (sRGB) or 4 (and alpha) channels; at `size` (height, width) if given.

    Raises ImageError, beginning with `name`, for anything that is not a whole image of at most `MAX_PIXELS`.
    """
    with opened(source, name) as image:
        if size:
            _draft(image, size)
        return prepare(ImageOps.exif_transpose(image), channels=channels, size=size, crop=crop)


def prepare(image: Image.Image, *, channels: int, size: tuple[int, int] | None, crop: Crop) -> EightBit:
    """Pixels of an open image. Alpha goes over white unless it is asked for; grey is the luma of ITU-R BT.601.

    `centre` cuts the largest middle piece of the shape of `size`, `stretch` takes all; either is resized with Lanczos' filter.
    """
    image = convert(image, channels)
    if size and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS, box=_box(image, size, crop), reducing_gap=3.0)
    return np.array(image).reshape(image.height, image.width, channels)


def convert(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L, LA, RGB or RGBA, whatever it was in: palette, CMYK, one bit, sixteen bits, with transparency."""
    if image.mode in WIDE:
        image = _narrow(image)
    if image.mode == "F":
        raise ImageError("has floating-point pixels, of no stated range; save it with 8 or 16 bits")
    if channels in (2, 4):
        return image.convert("RGBA") if channels == 4 else image.convert("RGBA").convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def sixteen(image: Image.Image) -> UInt16[np.ndarray, "h w"]:
    """The pixels of a grey image in one of the `WIDE` modes; raises ImageError if they need more than 16 bits."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("has pixels of more than 16 bits; save it with 8 or 16")
    return values.astype(np.uint16)


def _header(file: Opened) -> Image.Image:
    """The image whatever its size, of which `Image.open` refuses some."""
    Image.init()
    start = file.read(16)
    for kind in FORMATS:
        make, accepts = Image.OPEN[kind]
        if accepts is None or accepts(start):
            file.seek(0)
            return make(file, "")
    raise UnidentifiedImageError("no known beginning")


def _narrow(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits: the whole range onto the whole range, to nearest. A value that stands for transparency becomes alpha."""
    values = sixteen(image)
    grey = Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _box(image: Image.Image, size: tuple[int, int], crop: Crop) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is kept."""
    width, height = image.size
    if crop == "stretch":
        return 0, 0, width, height
    scale = min(height / size[0], width / size[1])
    inner = min(height, size[0] * scale), min(width, size[1] * scale)
    top, left = (height - inner[0]) / 2, (width - inner[1]) / 2
    return left, top, width - left, height - top


def _draft(image: Image.Image, size: tuple[int, int]) -> None:
    """Lets a JPEG be decoded at a half, a quarter or an eighth where that is still twice as large as needed."""
    height, width = size[::-1] if _turned(image) else size
    scale = 2 * max(width / image.width, height / image.height)
    if scale <= 0.5:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _turned(image: Image.Image) -> bool:
    """Whether its EXIF says that rows are columns.

    Pillow has already turned the size of a TIFF; a PNG's EXIF is looked at only if it comes before the pixels.
    """
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return False
    return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return image.mode in _GREY
    colours = image.convert("RGB").getcolors(256) or []
    return all(colour == colour[:1] * 3 for _, colour in colours if isinstance(colour, tuple))
