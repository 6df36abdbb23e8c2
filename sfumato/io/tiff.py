"""Directories of untrusted TIFF files: type, count and offset of each tag are checked before values are read.

    file ─ directories ─> [Directory] ─ checked ─> Layout: size, samples, pages; or ImageError with the reason

Pillow and libtiff read files only after these checks. EXIF blocks of other formats have the structure of a TIFF and are checked by `guard`.
"""

import contextlib
import ctypes
import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, TiffImagePlugin

from sfumato.core.errors import ImageError
from sfumato.io.png import File

LARGEST = 64 << 20
"""Largest size in bytes of all tags of a picture; for a larger picture, the size of its pixels, up to eight times this number."""
_TAGS = 4096
"""Largest number of tags in one directory."""
_NUMBERS = 1 << 20
"""Largest number of values in one tag."""
_PLACES, _LEAST = 1 << 16, 64
"""Strips or tiles that any picture may have; a picture with more needs at least `_LEAST` pixels for each."""
_PAGES = 10_000
"""Largest number of pages that are counted."""

_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type number to bytes of one value."""
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""Type number of unsigned integers to their code in `struct`."""
_BYTES = (1, 2, 6, 7)
"""Type numbers whose values are read as bytes."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _PLANES, _EXTRA, _FORMAT = 256, 257, 258, 259, 262, 277, 284, 338, 339
_SUBFILE, _OLD_SUBFILE, _TILE_WIDTH, _TILE_HEIGHT = 254, 255, 322, 323
_LISTS = (273, 279, 324, 325)
"""Tags with the offsets and lengths of strips and tiles."""
_COUNTED = (*_LISTS, 266, 278, 317, 320, 530)
"""Tags whose numbers decoders compute with: `_LISTS`, bit order, rows of a strip, predictor, palette and subsampling."""
_BLOCKS = (700, 34675)
"""Tags of XMP and of the colour profile."""
_WRONG = "is damaged (TIFF tag {} must hold {}; it has {} of type {})"
_FOLDERS = (34665, 34853, 40965)
"""Tags that point to further directories: EXIF, GPS and interoperability."""
_YCBCR, _OLD_JPEG = 6, 6
"""Photometric interpretation YCbCr; the obsolete JPEG compression."""
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
"""Photometric interpretation to samples of a pixel, without extra samples."""
_RATIOS = {1: 1, 5: 4096, 8: 1032, 32946: 1032, 32773: 64}
"""Compression to the largest possible ratio of pixels to stored bytes."""
_TILE = 4096
"""Side of a tile in pixels that is allowed for pictures of any size."""


class Entry(NamedTuple):
    """Type, number and offset of the values of one tag, all within the file."""

    kind: int
    number: int
    place: int

    @property
    def length(self) -> int:
        """Length of the values in bytes."""
        return _UNITS[self.kind] * self.number


class Directory(NamedTuple):
    """The tags of one page by number, and the offset of the next directory (0 if there is none)."""

    tags: dict[int, Entry]
    order: str
    next: int
    length: int
    """Length of the directory in bytes, without values stored elsewhere."""

    def numbers(self, file: File, tag: int, default: int) -> tuple[int, ...]:
        """The unsigned integers of a tag, or `default` if the tag is missing. Raises ImageError for another type or no values."""
        if (entry := self.tags.get(tag)) is None:
            return (default,)
        if entry.kind not in _WHOLE or not entry.number:
            raise ImageError(_WRONG.format(tag, "whole numbers", entry.number, entry.kind))
        file.seek(entry.place)
        return struct.unpack(f"{self.order}{entry.number}{_WHOLE[entry.kind]}", file.read(entry.length))

    def number(self, file: File, tag: int, default: int) -> int:
        """The first unsigned integer of a tag, as in `numbers`."""
        return self.numbers(file, tag, default)[0]


class Layout(NamedTuple):
    """Size, samples and pages of a TIFF, from its directories."""

    size: tuple[int, int]
    """Height and width in pixels, as stored."""
    bits: int
    """Bits of each sample."""
    channels: int
    """Samples of a pixel, including opacity."""
    floating: bool
    """Whether samples are floating-point numbers."""
    pages: int
    """Number of pages, up to `_PAGES`, without thumbnails and masks."""
    left_out: int
    """Number of thumbnails and masks."""


def checked(file: File) -> Layout:
    """The layout of the first page. Raises ImageError for a TIFF that is damaged or not supported.

    Not supported are: signed or complex samples, samples of undeclared meaning, unknown compression or colour, YCbCr without compression, a
    thumbnail as the first page, and tags that would take more memory than the picture.
    """
    first, layout, pages, left_out = None, None, 0, 0
    for directory in directories(file):
        reduced = bool(directory.number(file, _SUBFILE, 0) & 0b101) or directory.number(file, _OLD_SUBFILE, 1) == 2
        pages, left_out = pages + (not reduced), left_out + reduced
        if first is None:
            first = directory
            layout = _layout(first, file)
            _bounded(first, file, layout)
            _samples(first, file, layout)
        if pages + left_out >= _PAGES:
            break
    if first is None or layout is None:
        raise ImageError("is damaged (a TIFF without a directory)")
    if pages and bool(first.number(file, _SUBFILE, 0) & 1):
        raise ImageError("begins with a thumbnail, and the picture is a later page; save the picture as a file of its own")
    return layout._replace(pages=max(1, pages), left_out=left_out if pages else left_out - 1)


def directories(file: File) -> Iterator[Directory]:
    """Yields the directory of each page once, in order. Raises ImageError for a directory that is damaged or too large."""
    head = _head(file)
    place, visited, total = head.first, set(), 0
    while place and place not in visited:
        visited.add(place)
        directory = _directory(file, place, head)
        total += directory.length
        if total > head.end:  # without this check, a small file could take hours
            raise ImageError("is damaged (directories of the TIFF overlap)")
        yield directory
        place = directory.next


def guard(file: File, largest: int = LARGEST) -> None:
    """Raises ImageError if the tags of the first directory, and of those that its tags point to, would take more than `largest` bytes.

    Other damage is ignored here and reported by the reader of the tags.
    """
    try:
        head = _head(file)
    except ImageError:
        return
    _taken(_directory(file, head.first, head, strict=False), file, head, largest)


class _Head(NamedTuple):
    order: str
    big: bool
    first: int
    end: int


def _head(file: File) -> _Head:
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "<")
    try:
        big = struct.unpack_from(f"{order}H", start, 2)[0] == 43
        first = struct.unpack_from(f"{order}Q", start, 8)[0] if big else struct.unpack_from(f"{order}I", start, 4)[0]
    except struct.error as error:
        raise ImageError("is damaged (a TIFF of a few bytes)") from error
    return _Head(order, big, first, end)


def _directory(file: File, place: int, head: _Head, *, strict: bool = True) -> Directory:
    """The directory at offset `place`. Tags with values outside the file raise ImageError if `strict`, and are left out otherwise."""
    size, form, inline = (20, "HHQ", 8) if head.big else (12, "HHI", 4)
    length = 8 if head.big else 2
    file.seek(min(place, head.end))
    start = file.read(length)
    count = int.from_bytes(start, "little" if head.order == "<" else "big") if len(start) == length else 0
    if strict and len(start) < length:
        raise ImageError("is damaged (a directory of the TIFF lies outside the file)")
    if strict and count > _TAGS:
        raise ImageError(f"is damaged (a directory of {count} tags; at most {_TAGS} are read)")
    content = file.read(min(size * count + (8 if head.big else 4), head.end))
    if len(content) < size * count:
        if strict:
            raise ImageError("is damaged (a directory of the TIFF is cut off)")
        count = len(content) // size
    tags = {}
    for i in range(count):
        tag, kind, many = struct.unpack_from(f"{head.order}{form}", content, i * size)
        if kind not in _UNITS:
            continue  # unknown types are ignored, as by other readers
        value_place = place + length + (i + 1) * size - inline
        if _UNITS[kind] * many > inline:
            (value_place,) = struct.unpack_from(f"{head.order}{'Q' if head.big else 'I'}", content, (i + 1) * size - inline)
        if value_place + _UNITS[kind] * many > head.end:
            if strict:
                raise ImageError(f"is damaged (TIFF tag {tag} lies outside the file)")
            continue
        tags[tag] = Entry(kind, many, value_place)
    rest = content[size * count :]
    following = struct.unpack(f"{head.order}{'Q' if head.big else 'I'}", rest)[0] if len(rest) == (8 if head.big else 4) else 0
    return Directory(tags, head.order, following if following < head.end else 0, length + len(content))


def _layout(page: Directory, file: File) -> Layout:
    sides = []
    for tag, name in ((_HEIGHT, "height"), (_WIDTH, "width")):
        if tag not in page.tags:
            raise ImageError(f"is damaged (a TIFF without a {name})")
        side, *more = page.numbers(file, tag, 0)
        if more or not side:
            raise ImageError(f"is damaged (a TIFF whose {name} is {', '.join(map(str, [side, *more[:3]]))})")
        sides.append(side)
    bits = page.numbers(file, _BITS, 1)
    if len(set(bits)) > 1 or not 1 <= bits[0] <= 64:
        raise ImageError(f"has samples of {', '.join(map(str, bits[:8]))} bits; save it with 8 or 16 bits each")
    channels = page.number(file, _CHANNELS, 3 if page.number(file, _COMPRESSION, 1) == _OLD_JPEG else 1)
    floating = 3 in page.numbers(file, _FORMAT, 1)
    return Layout((sides[0], sides[1]), bits[0], channels, floating, 1, 0)


def _bounded(page: Directory, file: File, layout: Layout) -> None:
    """Raises ImageError for tags of a wrong type, and if tags, or a tile, would take more memory than the picture."""
    for tag, entry in page.tags.items():
        if tag in _COUNTED and (entry.kind not in _WHOLE or not entry.number):
            raise ImageError(_WRONG.format(tag, "whole numbers", entry.number, entry.kind))
        if tag in _BLOCKS and entry.kind not in _BYTES:
            raise ImageError(_WRONG.format(tag, "bytes", entry.number, entry.kind))
    pixels, end, bits = layout.size[0] * layout.size[1], _head(file).end, min(layout.channels, 4) * layout.bits
    _taken(page, file, _head(file), max(LARGEST, min(pixels * bits // 8, 8 * LARGEST)))
    high, wide = page.number(file, _TILE_HEIGHT, 16), page.number(file, _TILE_WIDTH, 16)
    if not 0 < high <= max(_TILE, 2 * layout.size[0]) or not 0 < wide <= max(_TILE, 2 * layout.size[1]):
        from sfumato.core.tensors import size_text  # not above: the server of `service/` reads sizes without PyTorch

        raise ImageError(f"is damaged (tiles of {size_text((high, wide))} pixels in a picture of {size_text(layout.size)})")
    most = min(max(_PLACES, pixels // _LEAST), _NUMBERS)
    for tag in page.tags.keys() & set(_LISTS):
        if page.tags[tag].number > most:
            raise ImageError(f"has {page.tags[tag].number} strips or tiles, more than the {most} allowed; save it with fewer")
    stored = min(end, sum(page.numbers(file, 325 if 324 in page.tags else 279, end))) or end  # some programs store 0
    ratio = _RATIOS.get(page.number(file, _COMPRESSION, 1))
    if ratio and page.number(file, _PHOTOMETRIC, 0) != _YCBCR and stored * ratio < pixels * layout.bits // 8:
        raise ImageError(f"is damaged (the header declares {pixels / 1e6:.1f} megapixels, too many for {stored} stored bytes)")


def _taken(directory: Directory, file: File, head: _Head, largest: int) -> None:
    """Raises ImageError if a directory, and those that its tags point to, hold more than `largest` bytes or too many values in one tag."""
    left, visited = [directory], set()
    total = 0
    while left:
        page = left.pop()
        for tag, entry in page.tags.items():
            if entry.kind not in _BYTES and entry.number > _NUMBERS and tag not in _LISTS:
                raise ImageError(f"is damaged (TIFF tag {tag} has {entry.number} numbers; at most {_NUMBERS} are read)")
            total += entry.length
            if tag in _FOLDERS and entry.kind in _WHOLE and entry.number == 1:
                place = page.number(file, tag, 0)
                if place not in visited and place < head.end - 2:
                    visited.add(place)
                    left.append(_directory(file, place, head, strict=False))
    if total > largest:
        raise ImageError(
            f"holds {total / 1e6:.0f} MB beside its pixels, more than the {largest / 1e6:.0f} MB allowed; save it without them"
        )


def _samples(page: Directory, file: File, layout: Layout) -> None:
    """Raises ImageError for samples that are not supported."""
    forms = set(page.numbers(file, _FORMAT, 1))
    if 2 in forms and layout.bits <= 16:  # some programs declare unsigned samples of 16 bits as signed ones of 32
        raise ImageError("has signed samples, of no stated range; save it with unsigned samples of 8 or 16 bits")
    if forms - {1, 2, 3, 4}:
        raise ImageError(f"has samples that are no plain numbers (SampleFormat {max(forms)}); save it with 8 or 16 bits")
    compression, colours = page.number(file, _COMPRESSION, 1), page.number(file, _PHOTOMETRIC, 0)
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        raise ImageError(f"has an unsupported compression (Compression {compression}); save it with LZW or Deflate")
    if colours not in _COLOURS:
        raise ImageError(f"has unsupported colours (PhotometricInterpretation {colours}); save it as grey or RGB")
    if colours == _YCBCR and compression == 1:
        raise ImageError("is stored as YCbCr without compression, which is not supported; save it as RGB")
    if page.number(file, _PLANES, 1) not in (1, 2):
        raise ImageError(f"is damaged (PlanarConfiguration {page.number(file, _PLANES, 1)} is neither 1 nor 2)")
    extra, meanings = layout.channels - _COLOURS[colours], page.numbers(file, _EXTRA, 2)
    if extra < 0:
        raise ImageError(f"is damaged ({layout.channels} samples a pixel are too few for its colours)")
    if extra > 1:
        raise ImageError(f"has {layout.channels} samples a pixel; save it as grey or RGB, with or without opacity")
    if extra and meanings[0] not in (1, 2):
        raise ImageError(f"has {layout.channels} samples a pixel, and the last one is not declared as opacity; save it as RGB or RGBA")


def silence_libtiff() -> bool:
    """Stops libtiff, which decodes for Pillow, from printing lines of its own to stderr; says whether it is there to be told.

    Every such line is followed by an error of Pillow's. This changes the whole process, so the command line calls it and the library never
    does.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)  # of the copy that Pillow is linked to, wherever it is
        return True
    return False
