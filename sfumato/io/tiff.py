"""The directories of a TIFF, read with distrust: type, count and place of each tag are checked before anything is read or computed.

    file ─ directories ─> [Directory] ─ checked ─> Layout: size, samples, pages; or ImageError, which says what cannot be read

Pillow and libtiff read what was checked here. The block of EXIF in another file is laid out as a TIFF too, and checked by `guard`.
"""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import TiffImagePlugin

from sfumato.core.errors import ImageError
from sfumato.core.tensors import size_text
from sfumato.io.png import File

LARGEST = 64 << 20
"""Bytes that all tags of a picture may hold together; a picture that is larger than that may have as much again."""
_TAGS = 4096
"""Tags that one directory may have."""
_NUMBERS = 1 << 20
"""Numbers that one tag may have."""
_PLACES, _LEAST = 1 << 16, 64
"""Strips or tiles that any picture may have, and pixels that each has to hold where there are more."""
_PAGES = 10_000
"""Pages that are counted."""

_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by the number of its type."""
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""Types of whole numbers that are not negative, as `struct` has them."""
_BYTES = (1, 2, 6, 7)
"""Types whose values stay bytes."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _PLANES, _EXTRA, _FORMAT = 256, 257, 258, 259, 262, 277, 284, 338, 339
_SUBFILE, _OLD_SUBFILE, _TILE_WIDTH, _TILE_HEIGHT = 254, 255, 322, 323
_LISTS = (273, 279, 324, 325)
"""Tags that list the places and lengths of strips and tiles."""
_COUNTED = (*_LISTS, 266, 278, 317, 320, 530)
"""These, and the order of bits, rows of a strip, predictor, palette and subsampling: tags that whoever decodes computes with."""
_BLOCKS = (700, 34675)
"""XMP and the colour profile."""
_WRONG = "is damaged (TIFF tag {} must hold {}; it has {} of type {})"
_FOLDERS = (34665, 34853, 40965)
"""Tags that point to further directories, in which EXIF, GPS and the interoperability of EXIF are."""
_YCBCR, _OLD_JPEG = 6, 6
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
"""Samples that a photometric interpretation has without extra ones."""
_RATIOS = {1: 1, 5: 4096, 8: 1032, 32946: 1032, 32773: 64}
"""How many times as large as a strip its pixels can be, by compression, where that is known."""
_TILE = 4096
"""A side that a tile may have, however small the picture is."""


class Entry(NamedTuple):
    """One tag, whose values lie within the file."""

    kind: int
    number: int
    place: int

    @property
    def length(self) -> int:
        """In bytes."""
        return _UNITS[self.kind] * self.number


class Directory(NamedTuple):
    """The tags of one page, by number, and where the next directory is (0: nowhere)."""

    tags: dict[int, Entry]
    order: str
    next: int
    length: int
    """Bytes that it takes in the file, without the values that do not fit into it."""

    def numbers(self, file: File, tag: int, default: int) -> tuple[int, ...]:
        """The whole numbers of a tag. Raises ImageError for another type, or none at all."""
        if (entry := self.tags.get(tag)) is None:
            return (default,)
        if entry.kind not in _WHOLE or not entry.number:
            raise ImageError(_WRONG.format(tag, "whole numbers", entry.number, entry.kind))
        file.seek(entry.place)
        return struct.unpack(f"{self.order}{entry.number}{_WHOLE[entry.kind]}", file.read(entry.length))

    def number(self, file: File, tag: int, default: int) -> int:
        """The first of them."""
        return self.numbers(file, tag, default)[0]


class Layout(NamedTuple):
    """Size, samples and pages of a TIFF, known before its pixels are read."""

    size: tuple[int, int]
    """Height and width as stored."""
    bits: int
    """Of each sample."""
    channels: int
    """Samples of a pixel, with opacity."""
    floating: bool
    pages: int
    """Those that are pictures of their own, up to `_PAGES`: thumbnails and masks are not counted."""
    left_out: int
    """Thumbnails and masks that belong to the page."""


def checked(file: File) -> Layout:
    """The layout of the first page. Raises ImageError, in one line, for a TIFF that is damaged or that cannot be read as it is meant.

    That is: signed or complex samples, samples whose meaning is not said, unknown compression or colour, YCbCr without compression, a
    thumbnail in the place of the picture, and tags that would take more memory than the picture.
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
        raise ImageError("begins with a thumbnail, and the picture is a later page: take it apart first")
    return layout._replace(pages=max(1, pages), left_out=left_out if pages else left_out - 1)


def directories(file: File) -> Iterator[Directory]:
    """The directories of the pages one after another, each once. Raises ImageError for one that is damaged or too large."""
    head = _head(file)
    place, visited, total = head.first, set(), 0
    while place and place not in visited:
        visited.add(place)
        directory = _directory(file, place, head)
        total += directory.length
        if total > head.end:  # else a small file could keep its reader busy for hours
            raise ImageError("is damaged (directories of the TIFF overlap)")
        yield directory
        place = directory.next


def guard(file: File, largest: int = LARGEST) -> None:
    """Raises ImageError if the tags of the first directory and of those that it points to would take more than `largest` bytes.

    Everything else that may be wrong with them is left to whoever reads them.
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
    """The directory at `place`. If `strict` is not set, what lies outside the file is left out instead of refused."""
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
            continue  # as everybody does
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
    """Raises ImageError for tags of a type that is not theirs, and if the tags, or a tile, take more memory than the picture does."""
    for tag, entry in page.tags.items():
        if tag in _COUNTED and (entry.kind not in _WHOLE or not entry.number):
            raise ImageError(_WRONG.format(tag, "whole numbers", entry.number, entry.kind))
        if tag in _BLOCKS and entry.kind not in _BYTES:
            raise ImageError(_WRONG.format(tag, "bytes", entry.number, entry.kind))
    pixels, end, bits = layout.size[0] * layout.size[1], _head(file).end, min(layout.channels, 4) * layout.bits
    _taken(page, file, _head(file), max(LARGEST, min(pixels * bits // 8, 8 * LARGEST)))
    high, wide = page.number(file, _TILE_HEIGHT, 16), page.number(file, _TILE_WIDTH, 16)
    if not 0 < high <= max(_TILE, 2 * layout.size[0]) or not 0 < wide <= max(_TILE, 2 * layout.size[1]):
        raise ImageError(f"is damaged (tiles of {size_text((high, wide))} pixels in a picture of {size_text(layout.size)})")
    most = min(max(_PLACES, pixels // _LEAST), _NUMBERS)
    for tag in page.tags.keys() & set(_LISTS):
        if page.tags[tag].number > most:
            raise ImageError(f"is cut into {page.tags[tag].number} strips or tiles, more than the {most} that are read")
    stored = min(end, sum(page.numbers(file, 325 if 324 in page.tags else 279, end))) or end  # some programs leave it at 0
    ratio = _RATIOS.get(page.number(file, _COMPRESSION, 1))
    if ratio and page.number(file, _PHOTOMETRIC, 0) != _YCBCR and stored * ratio < pixels * layout.bits // 8:
        raise ImageError(f"is damaged (its header promises {pixels / 1e6:.1f} megapixels, for which its {stored} bytes are too few)")


def _taken(directory: Directory, file: File, head: _Head, largest: int) -> None:
    """Raises ImageError if this directory and those that it points to hold more than `largest` bytes, or too many numbers in one tag."""
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
    """Raises ImageError for samples that cannot be read as what they are."""
    forms = set(page.numbers(file, _FORMAT, 1))
    if 2 in forms and layout.bits <= 16:  # 32 bits with a sign are how some programs write 16 without
        raise ImageError("has signed samples, of no stated range; save it with unsigned samples of 8 or 16 bits")
    if forms - {1, 2, 3, 4}:
        raise ImageError(f"has samples that are no plain numbers (SampleFormat {max(forms)}); save it with 8 or 16 bits")
    compression, colours = page.number(file, _COMPRESSION, 1), page.number(file, _PHOTOMETRIC, 0)
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        raise ImageError(f"is compressed in a way that is not read (Compression {compression}); save it with LZW or Deflate")
    if colours not in _COLOURS:
        raise ImageError(f"has colours that are not read (PhotometricInterpretation {colours}); save it as grey or RGB")
    if colours == _YCBCR and compression == 1:
        raise ImageError("is stored as YCbCr without compression, which is not read; save it as RGB")
    if page.number(file, _PLANES, 1) not in (1, 2):
        raise ImageError(f"is damaged (PlanarConfiguration {page.number(file, _PLANES, 1)} is neither 1 nor 2)")
    extra, meanings = layout.channels - _COLOURS[colours], page.numbers(file, _EXTRA, 2)
    if extra < 0:
        raise ImageError(f"is damaged ({layout.channels} samples a pixel are too few for its colours)")
    if extra > 1:
        kept = "grey or RGB with or without opacity"
        raise ImageError(f"has {layout.channels} samples a pixel, of which only {kept} could be kept; save it so")
    if extra and meanings[0] not in (1, 2):
        raise ImageError(f"has {layout.channels} samples a pixel, the last of which is not said to be opacity; save it as RGB or RGBA")
