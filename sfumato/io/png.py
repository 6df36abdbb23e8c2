"""The chunks of a PNG, without its pixels."""

import io
import struct
import zlib
from typing import TypeAlias

File: TypeAlias = io.BufferedReader | io.BufferedRandom | io.BytesIO
PNG = b"\x89PNG\r\n\x1a\n"
"""What the file begins with."""


def chunk(kind: bytes, content: bytes) -> bytes:
    """A piece of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_pixels(file: File) -> io.BytesIO:
    """The PNG cut down to one pixel, with all its chunks but those of pixels: those that follow the pixels are found as well.

    It is read from the beginning of `file`, which is left where it was.
    """
    place, end = file.tell(), file.seek(0, io.SEEK_END)
    file.seek(0)
    kept = [file.read(8)]
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if kind in (b"IDAT", b"fdAT", b"fcTL", b"acTL"):
            file.seek(length + 4, io.SEEK_CUR)
        elif kind == b"IHDR":
            file.read(8)
            kept.append(chunk(kind, struct.pack(">II", 1, 1) + file.read(4) + b"\0"))
            file.seek(5, io.SEEK_CUR)
        else:
            kept.append(head + file.read(min(length + 4, end)))  # whatever its length says
    file.seek(place)
    return io.BytesIO(b"".join([*kept, chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b"")]))
