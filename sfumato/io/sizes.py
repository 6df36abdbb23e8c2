"""Height and width of a picture from the first bytes of its file, without parsing the whole header.

    open file, format ─ stored_size ─> (height, width), or None: another library has to read the header

The results are those of Pillow for intact files. A damaged file gives None or numbers that the decoder will contradict.
"""

import struct
from collections.abc import Callable

from sfumato.io import tiff
from sfumato.io.png import PNG, File

Size = tuple[int, int]
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG with the size of the frame."""
NO_LENGTH = (0x01, *range(0xD0, 0xD9))
"""Markers of a JPEG without a length."""
_STEPS = 100_000
"""Segments, blocks or bytes of padding that are skipped at most: a damaged file must not keep its reader busy."""


def stored_size(file: File, form: str) -> Size | None:
    """Height and width in pixels, as stored, of an open file of Pillow's format `form`; None if unknown.

    Raises ImageError for a damaged TIFF. The position of the file changes.
    """
    reader = _READERS.get(form)
    if reader is None:
        return None
    file.seek(0)
    try:
        size = reader(file)
    except (struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _png(file: File) -> Size | None:
    start = file.read(24)
    width, height = struct.unpack_from(">II", start, 16)
    return (height, width) if start.startswith(PNG) else None


def _tiff(file: File) -> Size:
    return tiff.checked(file).size


def _jpeg(file: File) -> Size | None:
    """The size in the frame header, which follows segments of metadata."""
    place = 2
    for _ in range(_STEPS):
        file.seek(place)
        head = file.read(9)
        if head[0] != 0xFF:
            return None
        if head[1] == 0xFF:  # padding
            place += 1
        elif head[1] in NO_LENGTH:
            place += 2
        elif head[1] in _FRAMES:
            height, width = struct.unpack_from(">HH", head, 5)
            return height, width
        elif head[1] == 0xDA:
            return None
        else:
            place += 2 + max(2, int.from_bytes(head[2:4]))
    return None


def _webp(file: File) -> Size | None:
    start = file.read(30)
    if len(start) < 30 or start[8:12] != b"WEBP":
        return None
    if start[12:16] == b"VP8X":
        return int.from_bytes(start[27:30], "little") + 1, int.from_bytes(start[24:27], "little") + 1
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if start[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", start, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _bmp(file: File) -> Size | None:
    start = file.read(26)
    if start[14:18] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", start, 18)
    else:
        width, height = struct.unpack_from("<ii", start, 18)
    return abs(height), width


def _gif(file: File) -> Size | None:
    """The size of the screen or, if larger, of the first frame with its offset."""
    screen = file.read(13)
    width, height = struct.unpack_from("<HH", screen, 6)
    place = 13 + (3 << (screen[10] & 7) + 1 if screen[10] & 0x80 else 0)
    inside = False
    for _ in range(_STEPS):
        file.seek(place)
        head = file.read(9)
        if inside:  # a block of an extension; the last one is empty
            inside, place = head[0] > 0, place + 1 + head[0]
        elif head[0] == 0x2C:
            left, top, wide, high = struct.unpack_from("<HHHH", head, 1)
            return max(height, top + high), max(width, left + wide)
        elif head[0] == 0x21:
            inside, place = True, place + 2
        else:
            return None
    return None


_READERS: dict[str, Callable[[File], Size | None]] = {
    "PNG": _png,
    "TIFF": _tiff,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "BMP": _bmp,
    "GIF": _gif,
}
