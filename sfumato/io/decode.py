"""One image file, from anywhere, to upright 8-bit pixels of the size and channels asked for; nothing else gets in.

Reads PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF, PPM, TGA and JPEG 2000, and with extras HEIC and camera raw; of several frames or pages the
first. The content tells the format, and the header is judged before any pixel is decoded. A decoded picture is turned and converted a few
rows at a time, so that reading it takes what Pillow holds and what comes out, and no third copy.
"""

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from sfumato.core.errors import ImageError, MissingExtraError
from sfumato.io import bounds, formats, optional_formats, tiff
from sfumato.io.png import File, without_pixels

Crop = Literal["centre", "stretch"]
EightBit = UInt8[np.ndarray, "h w c"]
Opened = io.BufferedReader | io.BytesIO
Source = Path | Callable[[], Opened] | Opened
"""Where the bytes of a file come from: its path, what opens it, or the open file, which stays open."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM", "TGA", "JPEG 2000")
SUFFIXES = formats.SUFFIXES
"""What the names of image files that can be read without extras end in, in lower case."""

MAX_PIXELS = 100_000_000
"""A file whose header promises more is refused unread."""

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
WIDE = ("I", "I;16", "I;16L", "I;16B")
"""Pillow's modes for grey of more than 8 bits."""
ORIENTATION = int(ExifTags.Base.Orientation)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PIECE = 1 << 18
"""Pixels that are turned and converted at once."""
_TURN_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


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
    with reading(name), opening(source) as file, _header(file, name) as image:
        if limit and math.prod(image.size) > limit:
            raise Image.DecompressionBombError(f"{math.prod(image.size)} pixels")
        yield image


def opening(source: Source) -> contextlib.AbstractContextManager[Opened]:
    """The open file at its beginning, closed at the end of the `with` if it was opened for that. Raises OSError."""
    if isinstance(source, Path):
        return source.open("rb")
    if not isinstance(source, Opened):
        return source()
    source.seek(0)
    return contextlib.nullcontext(source)


def refuse_several(image: Image.Image) -> None:
    """Raises ImageError for an open image whose file has more frames or pages than one picture can keep."""
    frames = getattr(image, "n_frames", 1) if image.format not in ("MPO", "TIFF") else 1  # the others of an MPO are previews
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        assert isinstance(image.fp, File)
        place = image.fp.tell()
        frames = tiff.checked(image.fp).pages
        image.fp.seek(place)
    refuse_pages(frames)


def refuse_pages(count: int) -> None:
    """Raises ImageError for more than one frame or page."""
    if count > 1:
        raise ImageError(f"has {count} frames or pages, of which only the first could be kept: take it apart first")


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
    except (MemoryError, MissingExtraError):
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
        if size in (None, upright_size(image)):
            return pixels(image, channels)
        return _resized(_gathered(image, channels), size, crop)


def turn(tags: Mapping[int, object], xmp: bytes = b"") -> int:
    """How the pixels lie in the file, as EXIF counts from 1 (upright) to 8: as `tags` say or, where they are silent, the `xmp`."""
    told = _TURN_IN_XMP.search(xmp)
    found = tags.get(ORIENTATION, int(told[1]) if told else 1)
    return next((number for number in range(1, 9) if number == found), 1)


def upright(image: Image.Image) -> Image.Image:
    """An open image, decoded and turned as its file says, and of the right brightness.

    Grey of 12 or 16 bits in a TIFF comes from Pillow as the numbers stand there: not over the whole range, and a negative where 0 is white.
    """
    return _bright(ImageOps.exif_transpose(image), image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width that an open image has once it is upright; it is decoded for that."""
    image.load()
    width, height = image.size
    return (width, height) if turn(image.getexif()) > 4 else (height, width)


def pieces(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    """An open image, decoded, as `upright` has it, a piece at a time: its top, its left, and some rows or columns of the picture."""
    image.load()
    if (count := math.prod(image.size)) > MAX_PIXELS:  # some decoders find out late
        raise Image.DecompressionBombError(f"{count} pixels")
    width, height = image.size
    how, step = turn(image.getexif()), max(1, _PIECE // width)
    for top in range(0, height, step):
        bottom = min(height, top + step)
        piece = image.crop((0, top, width, bottom))
        first = height - bottom if how in (3, 4, 6, 7) else top
        turned = piece.transpose(_TURNS[how]) if how > 1 else piece
        yield (0, first, _bright(turned, image)) if how > 4 else (first, 0, _bright(turned, image))


def pixels(image: Image.Image, channels: int) -> EightBit:
    """The pixels of an open image, upright, with 1 to 4 channels as `decode` has them; no copy is made on the way."""
    made = np.empty((*upright_size(image), channels), np.uint8)
    for top, left, piece in pieces(image):
        some = np.asarray(convert(piece, channels)).reshape(piece.height, piece.width, channels)
        made[top : top + piece.height, left : left + piece.width] = some
    return made


def _gathered(image: Image.Image, channels: int) -> Image.Image:
    """An open image, upright, in mode L, LA, RGB or RGBA: itself if it is so already."""
    mode = _MODES[channels]
    height, width = upright_size(image)
    if image.mode == mode and not (image.has_transparency_data and channels in (1, 3)) and turn(image.getexif()) == 1:
        return image
    made = Image.new(mode, (width, height))
    for top, left, piece in pieces(image):
        made.paste(convert(piece, channels), (left, top))
    return made


def prepare(image: Image.Image, *, channels: int, size: tuple[int, int] | None, crop: Crop) -> EightBit:
    """Pixels of an upright image. Alpha goes over white unless it is asked for; grey is the luma of ITU-R BT.601.

    `centre` cuts the largest middle piece of the shape of `size`, `stretch` takes all; either is resized with Lanczos' filter.
    """
    image = convert(image, channels)
    if size and image.size != (size[1], size[0]):
        return _resized(image, size, crop)
    return np.array(image).reshape(image.height, image.width, channels)


def _resized(image: Image.Image, size: tuple[int, int], crop: Crop) -> EightBit:
    """The image, in mode L, LA, RGB or RGBA, at this height and width."""
    made = image.resize((size[1], size[0]), Image.Resampling.LANCZOS, box=_box(image, size, crop), reducing_gap=3.0)
    return np.array(made).reshape(*size, len(made.getbands()))


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
    if values.min() < 0:
        raise ImageError("has negative samples, of no stated range; save it with unsigned samples of 8 or 16 bits")
    if values.max() > 65535:
        raise ImageError("has pixels of more than 16 bits; save it with 8 or 16")
    return values.astype(np.uint16)


def _header(file: Opened, name: str) -> Image.Image:
    """The image whatever its size, of which `Image.open` refuses some. Raises ImageError for a format that is not read."""
    kind = formats.by_content(file.read(formats.START), name)
    file.seek(0)
    if kind is None:
        raise UnidentifiedImageError("no known beginning")
    if kind.reader in ("heif", "raw"):
        return optional_formats.image_of(kind, file, name)
    if not kind.read:
        raise ImageError(f"{kind.name} {kind.advice}")
    bounds.check(file, kind.format)
    Image.init()
    return Image.OPEN[kind.format][0](file, "")


def _bright(turned: Image.Image, image: Image.Image) -> Image.Image:
    """`turned`, a part of the open `image`, with the whole range of its bits, and black where its file means black."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or turned.mode != "I;16":
        return turned
    scale = 65535 / (2 ** image.tag_v2[TiffImagePlugin.BITSPERSAMPLE][0] - 1)
    if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0:
        return turned.point(lambda value: value * -scale + 65535.5)
    return turned if scale == 1 else turned.point(lambda value: value * scale + 0.5)


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
    if image.format != "JPEG":
        return
    height, width = size[::-1] if _turned(image) else size
    scale = 2 * max(width / image.width, height / image.height)
    if scale <= 0.5:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _turned(image: Image.Image) -> bool:
    """Whether the rows of an image that is not decoded yet are columns of the upright one."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and ORIENTATION in image.tag_v2:  # Pillow has already turned its size
        return False
    if isinstance(image, PngImagePlugin.PngImageFile):  # which may say so behind the pixels
        assert isinstance(image.fp, File)
        with Image.open(without_pixels(image.fp), formats=["PNG"]) as small:
            return turn(small.getexif()) > 4
    return turn(image.getexif()) > 4


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return image.mode in _GREY
    colours = image.convert("RGB").getcolors(256) or []
    return all(colour == colour[:1] * 3 for _, colour in colours if isinstance(colour, tuple))
