"""Chunks of a PNG, without decoding its pixels."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

File: TypeAlias = io.BufferedReader | io.BufferedRandom | io.BytesIO
PNG = b"\x89PNG\r\n\x1a\n"
"""Signature: the first bytes of a PNG."""
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the colour type in the header of a PNG."""


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and content of each chunk of a PNG in memory."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += length + 12


def chunk(kind: bytes, content: bytes) -> bytes:
    """The bytes of a chunk: length, type, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_pixels(file: File) -> io.BytesIO:
    """A PNG of one pixel with all other chunks of `file`, also those after the pixels. The position of `file` is unchanged."""
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
            kept.append(head + file.read(min(length + 4, end)))  # a false length must not allocate memory
    file.seek(place)
    return io.BytesIO(b"".join([*kept, chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b"")]))
