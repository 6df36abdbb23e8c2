"""The limits of uploads, checked before anything is decoded."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.text import quoted

_KINDS = """
    jpg jpeg jpe jfif png apng webp tif tiff bmp gif ppm pgm pbm avif heic heif jp2 tga psd
    dng cr2 cr3 nef arw raf orf rw2
"""
PICTURES = tuple(f".{kind}" for kind in _KINDS.split())
"""Endings of the files that are taken as pictures. Archives, lists and films are not."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a visitor may send."""

    file_bytes: int = 100_000_000
    """Bytes of one file."""
    files: int = 50
    """Files at once."""
    pixels: int = 64_000_000
    """Pixels of one picture."""
    visitor_bytes: int = 2_000_000_000
    """Bytes of all files of a visitor that are kept at a time."""
    waiting: int = 4
    """Jobs of a visitor that are under way or wait."""


def checked_pictures(paths: Sequence[str | Path], limits: Limits) -> list[Path]:
    """The uploaded files, if there are neither too many nor too large ones.

    Raises SettingError for none and for too many, ImageError for a file that is too large, or has the ending of no picture.
    """
    if not paths:
        raise SettingError("no picture was given; drop one first")
    if len(paths) > limits.files:
        raise SettingError(f"{len(paths)} pictures at once are more than {limits.files}; drop fewer, or use `sfumato restore FOLDER`")
    checked = [Path(path) for path in paths]
    for path in checked:
        check_picture(path, limits)
    return checked


def check_picture(path: Path, limits: Limits) -> None:
    """Raises ImageError for a file that is too large, has too many pixels by its header, or has the ending of no picture."""
    name = quoted(path.name)
    if path.suffix.lower() not in PICTURES:
        raise ImageError(f"{name} is no picture: its name must end in {', '.join(PICTURES[:9])} or another ending of pictures")
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise ImageError(f"{name} has {size / 1e6:.0f} MB, more than the {limits.file_bytes / 1e6:.0f} MB allowed")
    pixels = _pixels(path)
    if pixels > limits.pixels:
        raise ImageError(f"{name} has {pixels / 1e6:.0f} megapixels, more than the {limits.pixels / 1e6:.0f} allowed; make it smaller")


def _pixels(path: Path) -> int:
    """Pixels of a picture by its header; 0 if Pillow does not know the format, so that the reader of the job judges the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return image.width * image.height
        except Image.DecompressionBombError:
            return 1 << 40
        except Exception:  # what spoilt files raise is not limited to a few kinds
            return 0
