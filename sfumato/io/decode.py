"""Decoding of untrusted image files to upright 8-bit pixels of a given size and number of channels.

Reads PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF, PPM, TGA and JPEG 2000, and with extras HEIC and camera raw; the first of several frames or
pages. The format is identified by content, and the header is checked before any pixel is decoded. A decoded picture is turned and converted
some rows at a time, so that memory holds Pillow's copy and the result, and no third copy.
"""

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from sfumato.core.errors import ImageError, MissingExtraError
from sfumato.core.tensors import Crop
from sfumato.io import bounds, formats, optional_formats, tiff
from sfumato.io.bit_depth import eight_bits
from sfumato.io.png import File, without_pixels

EightBit = UInt8[np.ndarray, "h w c"]
Opened = io.BufferedReader | io.BytesIO
Source = Path | Callable[[], contextlib.AbstractContextManager[Opened]] | Opened
"""Source of the bytes of a file: a path, a function that opens the file, or the open file, which stays open."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM", "TGA", "JPEG 2000")
"""Names of the formats that are read without extras."""
SUFFIXES = formats.SUFFIXES
"""Endings, in lower case, of the names of image files that are read without extras."""

MAX_PIXELS = 100_000_000
"""Largest number of pixels of a file, by its header."""

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
WIDE = ("I", "I;16", "I;16L", "I;16B")
"""Pillow's modes for grey of more than 8 bits."""
ORIENTATION = int(ExifTags.Base.Orientation)
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PIECE = 1 << 18
"""Number of pixels that are turned and converted at once."""
_TURN_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


class Facts(NamedTuple):
    """Properties of an image file that are read without decoding pixels."""

    size: tuple[int, int]
    """Height and width of the upright picture."""
    grey: bool
    """Whether the picture has no colour."""


@contextlib.contextmanager
def opened(source: Source, name: str, *, limit: int | None = MAX_PIXELS) -> Iterator[Image.Image]:
    """Yields the image with only its header read. Every error inside the `with` becomes an ImageError that begins with `name`.

    Raises ImageError for more than `limit` pixels; with a `limit` of None the caller must not decode the pixels.
    """
    with reading(name), opening(source) as file, _header(file, name) as image:
        if limit and math.prod(image.size) > limit:
            raise Image.DecompressionBombError(f"{math.prod(image.size)} pixels")
        yield image


def opening(source: Source) -> contextlib.AbstractContextManager[Opened]:
    """A context manager of the open file, at its beginning; closes the file unless `source` is an open file. Raises OSError."""
    if isinstance(source, Path):
        return source.open("rb")
    if not isinstance(source, Opened):
        return source()
    source.seek(0)
    return contextlib.nullcontext(source)


def refuse_several(image: Image.Image) -> None:
    """Raises ImageError for an open image with more than one frame or page."""
    frames = getattr(image, "n_frames", 1) if image.format not in ("MPO", "TIFF") else 1  # further pictures of an MPO are previews
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        assert isinstance(image.fp, File)
        place = image.fp.tell()
        frames = tiff.checked(image.fp).pages
        image.fp.seek(place)
    refuse_pages(frames)


def refuse_pages(count: int) -> None:
    """Raises ImageError for more than one frame or page."""
    if count > 1:
        raise ImageError(f"has {count} frames or pages, of which only the first could be kept; save each as a file of its own")


def unknown_kind(name: str) -> ImageError:
    """The error to raise for a file of no kind that can be read."""
    return ImageError(f"{name}: is not an image of a known kind ({', '.join(FORMATS)})")


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns every error inside the `with`, except missing memory or extras, into an ImageError that begins with `name`."""
    try:
        yield
    except ImageError as error:
        raise error if str(error).startswith(f"{name}: ") else ImageError(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        size = f"{int(pixels[0]) / 1e6:.0f} megapixels, " if pixels else ""
        raise ImageError(f"{name}: {size}larger than the {MAX_PIXELS // 1_000_000} megapixels allowed; make the picture smaller") from error
    except UnidentifiedImageError as error:
        raise unknown_kind(name) from error
    except OSError as error:
        if str(error).startswith("decoder error"):  # a number, which tells nobody anything
            raise ImageError(f"{name}: is damaged (its compressed pixels cannot be decoded)") from error
        raise ImageError(f"{name}: cannot be read ({error.strerror or error})") from error
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(f"{name}: is damaged ({' '.join(str(error).split()) or type(error).__name__})") from error


def facts(source: Source, name: str) -> Facts:
    """Size and colour of an image file, from its header. Raises ImageError if the file is no image."""
    with opened(source, name) as image:
        width, height = image.size
        return Facts((width, height) if _is_transposed(image) else (height, width), _is_grey(image))


def decode(source: Source, name: str, *, channels: int, size: tuple[int, int] | None = None, crop: Crop = "centre") -> EightBit:
    """The upright pixels with 1 (grey), 2 (grey, alpha), 3 (sRGB) or 4 (sRGB, alpha) channels.

    A `size` (height, width) other than None resizes them, as `prepare` does with `crop`.
    Raises ImageError, beginning with `name`, for a file that is not a complete image of at most `MAX_PIXELS`.
    """
    with opened(source, name) as image:
        if size:
            _draft(image, size)
        if size in (None, upright_size(image)):
            return pixels(image, channels)
        return _resized(_gathered(image, channels), size, crop)


def orientation(tags: Mapping[int, object], xmp: bytes = b"") -> int:
    """The orientation of the stored pixels, from 1 (upright) to 8 as in EXIF: from the EXIF `tags` or, if missing there, from `xmp`."""
    tag = _TURN_IN_XMP.search(xmp)
    value = tags.get(ORIENTATION, int(tag[1]) if tag else 1)
    return next((number for number in range(1, 9) if number == value), 1)


def upright(image: Image.Image) -> Image.Image:
    """An open image, decoded, turned upright and scaled to the full range of brightness.

    Pillow returns grey TIFF samples of 12 or 16 bits as stored: not scaled to the full range, and inverted where 0 is white.
    """
    return _full_range(ImageOps.exif_transpose(image), image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an open image when upright. Decodes the image."""
    image.load()
    width, height = image.size
    return (width, height) if orientation(image.getexif()) > 4 else (height, width)


def upright_pieces(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    """Yields an open image as of `upright` in pieces of some rows or columns, each with its top and left. Decodes the image."""
    image.load()
    if (count := math.prod(image.size)) > MAX_PIXELS:  # some decoders know the size only now
        raise Image.DecompressionBombError(f"{count} pixels")
    width, height = image.size
    turn, step = orientation(image.getexif()), max(1, _PIECE // width)
    for top in range(0, height, step):
        bottom = min(height, top + step)
        piece = image.crop((0, top, width, bottom))
        first = height - bottom if turn in (3, 4, 6, 7) else top
        turned = piece.transpose(_TRANSPOSES[turn]) if turn > 1 else piece
        yield (0, first, _full_range(turned, image)) if turn > 4 else (first, 0, _full_range(turned, image))


def pixels(image: Image.Image, channels: int) -> EightBit:
    """The upright pixels of an open image with 1 to 4 channels as in `decode`, without an intermediate copy."""
    output = np.empty((*upright_size(image), channels), np.uint8)
    for top, left, piece in upright_pieces(image):
        some = np.asarray(convert(piece, channels)).reshape(piece.height, piece.width, channels)
        output[top : top + piece.height, left : left + piece.width] = some
    return output


def _gathered(image: Image.Image, channels: int) -> Image.Image:
    """An open image, upright, in mode L, LA, RGB or RGBA; the same object if nothing has to change."""
    mode = _MODES[channels]
    height, width = upright_size(image)
    if image.mode == mode and not (image.has_transparency_data and channels in (1, 3)) and orientation(image.getexif()) == 1:
        return image
    output = Image.new(mode, (width, height))
    for top, left, piece in upright_pieces(image):
        output.paste(convert(piece, channels), (left, top))
    return output


def prepare(image: Image.Image, *, channels: int, size: tuple[int, int] | None, crop: Crop) -> EightBit:
    """Pixels of an upright image with `channels` channels as in `decode`, resized to `size` (height, width) unless that is None.

    The filter is Lanczos'. Without an alpha channel, transparency is laid over white; grey is the luma of ITU-R BT.601. The crop `centre`
    takes the largest central part with the aspect ratio of `size`, `stretch` the whole image.
    """
    image = convert(image, channels)
    if size and image.size != (size[1], size[0]):
        return _resized(image, size, crop)
    return np.array(image).reshape(image.height, image.width, channels)


def _resized(image: Image.Image, size: tuple[int, int], crop: Crop) -> EightBit:
    """The pixels of an image in mode L, LA, RGB or RGBA, resized to `size` (height, width)."""
    resized = image.resize((size[1], size[0]), Image.Resampling.LANCZOS, box=_box(image, size, crop), reducing_gap=3.0)
    return np.array(resized).reshape(*size, len(resized.getbands()))


def convert(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L, LA, RGB or RGBA, from any mode. Raises ImageError for floating-point pixels."""
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


def sixteen_bit(image: Image.Image) -> UInt16[np.ndarray, "h w"]:
    """The pixels of a grey image in one of the `WIDE` modes. Raises ImageError for negative samples or more than 16 bits."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0:
        raise ImageError("has negative samples, of no stated range; save it with unsigned samples of 8 or 16 bits")
    if values.max() > 65535:
        raise ImageError("has pixels of more than 16 bits; save it with 8 or 16")
    return values.astype(np.uint16)


def _header(file: Opened, name: str) -> Image.Image:
    """The image with only its header read, of any size, while `Image.open` limits the size. Raises ImageError for unsupported formats."""
    kind = formats.by_content(file.read(formats.START), name)
    file.seek(0)
    if kind is None:
        raise UnidentifiedImageError("no known beginning")
    if kind.reader in ("heif", "raw"):
        return optional_formats.open_image(kind, file, name)
    if not kind.read:
        raise ImageError(f"{kind.name} {kind.advice}")
    bounds.check(file, kind.format)
    Image.init()
    return Image.OPEN[kind.format][0](file, "")


def _full_range(turned: Image.Image, image: Image.Image) -> Image.Image:
    """`turned`, a part of the open `image`, with samples scaled to 16 bits and inverted if 0 is white in the file."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or turned.mode != "I;16":
        return turned
    scale = 65535 / (2 ** image.tag_v2[TiffImagePlugin.BITSPERSAMPLE][0] - 1)
    if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0:
        return turned.point(lambda value: value * -scale + 65535.5)
    return turned if scale == 1 else turned.point(lambda value: value * scale + 0.5)


def _narrow(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits, rounded to nearest. The value that marks transparency becomes alpha."""
    values = sixteen_bit(image)
    grey = Image.fromarray(eight_bits(torch.from_numpy(values)).numpy())
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _box(image: Image.Image, size: tuple[int, int], crop: Crop) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the part that is kept."""
    width, height = image.size
    if crop == "stretch":
        return 0, 0, width, height
    scale = min(height / size[0], width / size[1])
    inner = min(height, size[0] * scale), min(width, size[1] * scale)
    top, left = (height - inner[0]) / 2, (width - inner[1]) / 2
    return left, top, width - left, height - top


def _draft(image: Image.Image, size: tuple[int, int]) -> None:
    """Makes Pillow decode a JPEG at 1/2, 1/4 or 1/8 of its size where that is at least twice the needed size."""
    if image.format != "JPEG":
        return
    height, width = size[::-1] if _is_transposed(image) else size
    scale = 2 * max(width / image.width, height / image.height)
    if scale <= 0.5:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _is_transposed(image: Image.Image) -> bool:
    """Whether rows of an image that is not decoded yet become columns of the upright one."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and ORIENTATION in image.tag_v2:  # Pillow has already swapped the size
        return False
    if isinstance(image, PngImagePlugin.PngImageFile):  # whose orientation may follow the pixels
        assert isinstance(image.fp, File)
        with Image.open(without_pixels(image.fp), formats=["PNG"]) as small:
            return orientation(small.getexif()) > 4
    return orientation(image.getexif()) > 4


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return image.mode in _GREY
    colours = image.convert("RGB").getcolors(256) or []
    return all(colour == colour[:1] * 3 for _, colour in colours if isinstance(colour, tuple))
