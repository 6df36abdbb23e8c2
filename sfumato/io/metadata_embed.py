"""Embeds metadata into a picture file that was encoded without any, in constant memory, with the bytes that Pillow would write.

Pillow writes the metadata into a donor file of one pixel in the same format; the parts of the donor that are not pixels are copied in front
of the pixels. A TIFF is not copied: an extended directory is appended, and the first bytes of the file point to the new directory.
"""

import io
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from sfumato.io.metadata import Metadata, save_options, tiff_directory, tiff_head
from sfumato.io.png import File, chunk, chunks

_LAYOUT = {282, 283, 296, 274}
"""Tags of a TIFF that are taken from the metadata only: resolution and orientation."""


def embed(encoded: Path, target: Path, kind: str, metadata: Metadata, *, channels: int, alpha: bool, size: tuple[int, int]) -> None:
    """Writes the file `encoded` of format `kind` ("PNG", "JPEG", "WEBP" or "TIFF") to `target` with `metadata` embedded.

    `size` is height and width. A TIFF is moved, so that `encoded` no longer exists afterwards. Raises ValueError or ImageError for metadata
    that the format cannot hold.
    """
    if kind == "TIFF":
        os.replace(encoded, target)
        with target.open("r+b") as file:
            embed_in_tiff(file, metadata)
        return
    donor = io.BytesIO()
    Image.new("RGB" if channels == 3 else "L", (1, 1)).save(donor, kind, **save_options(metadata, kind, channels, size))
    with encoded.open("rb") as source, target.open("wb") as file:
        if kind == "PNG":
            file.write(source.read(33))  # the signature and the header chunk
            file.writelines(_png_pieces(donor.getvalue()))
            _to_pixels(source)
        elif kind == "JPEG":
            file.write(source.read(2))
            file.writelines(_jpeg_pieces(donor.getvalue()))
            if (head := source.read(4))[:2] == b"\xff\xe0":
                source.seek(int.from_bytes(head[2:]) - 2, io.SEEK_CUR)
            else:
                source.seek(-4, io.SEEK_CUR)
        else:
            _webp(source, file, donor.getvalue(), alpha=alpha, size=size)
        shutil.copyfileobj(source, file, 1 << 20)


def embed_in_tiff(file: File, metadata: Metadata) -> None:
    """Adds `metadata` to the TIFF or BigTIFF in `file`, and replaces its resolution and orientation."""
    head = tiff_head(file)
    order, big = ("<" if head[:2] == b"II" else ">"), len(head) == 16
    start = struct.unpack_from(f"{order}Q", head, 8)[0] if big else struct.unpack_from(f"{order}I", head, 4)[0]
    entries = {tag: entry for tag, entry in _entries(file, start, order, big=big).items() if tag not in _LAYOUT}
    end = _even(file)
    file.write(tiff_directory(metadata, head).tobytes(end))
    entries |= _entries(file, end, order, big=big)
    place = _even(file)
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    file.write(count + b"".join(entries[tag] for tag in sorted(entries)) + bytes(8 if big else 4))
    file.seek(8 if big else 4)
    file.write(struct.pack(f"{order}{'Q' if big else 'I'}", place))


def _entries(file: File, start: int, order: str, *, big: bool) -> dict[int, bytes]:
    """Tag to raw bytes of each entry of the directory at `start`."""
    file.seek(start)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    entries = (file.read(20 if big else 12) for _ in range(count))
    return {struct.unpack_from(f"{order}H", entry)[0]: entry for entry in entries}


def _even(file: File) -> int:
    """Seeks to the end of the file, extended to an even length as TIFF requires, and returns the position."""
    if end := file.seek(0, io.SEEK_END) % 2:
        file.write(bytes(end))
    return file.tell()


def _png_pieces(content: bytes) -> Iterator[bytes]:
    return (chunk(kind, piece) for kind, piece in chunks(content) if kind not in (b"IHDR", b"IDAT", b"IEND"))


def _to_pixels(source: File) -> None:
    """Seeks to the first chunk of pixels."""
    while len(head := source.read(8)) == 8 and head[4:] != b"IDAT":
        source.seek(int.from_bytes(head[:4]) + 4, io.SEEK_CUR)
    source.seek(-8, io.SEEK_CUR)


def _jpeg_pieces(content: bytes) -> Iterator[bytes]:
    place = 2
    while 0xE0 <= content[place + 1] <= 0xEF or content[place + 1] == 0xFE:
        length = 2 + int.from_bytes(content[place + 2 : place + 4])
        yield content[place : place + length]
        place += length


def _webp(source: File, file: io.BufferedWriter, donor: bytes, *, alpha: bool, size: tuple[int, int]) -> None:
    """Writes a WebP: extended header and profile, pixels, then EXIF and XMP; only pixels if the donor has no metadata."""
    pieces, place = {}, 12
    while place < len(donor):
        kind, length = struct.unpack_from("<4sI", donor, place)
        pieces[kind] = donor[place : place + 8 + length + length % 2]
        place += len(pieces[kind])
    pixels = _webp_pixels(source)
    before = pieces.get(b"ICCP", b"")
    after = pieces.get(b"EXIF", b"") + pieces.get(b"XMP ", b"")
    if b"VP8X" in pieces:
        flags = pieces[b"VP8X"][8] & 0b101100 | (0b10000 if alpha else 0)
        canvas = (size[1] - 1).to_bytes(3, "little") + (size[0] - 1).to_bytes(3, "little")
        before = b"VP8X" + struct.pack("<II", 10, flags) + canvas + before
    content = b"WEBP" + before + pixels + after
    file.write(b"RIFF" + struct.pack("<I", len(content)) + content)


def _webp_pixels(source: File) -> bytes:
    """The chunks of opacity and pixels, in memory, where the encoder had them as well."""
    source.seek(12)
    pixels = b""
    while len(head := source.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        content = source.read(length + length % 2)
        pixels += head + content if kind in (b"ALPH", b"VP8 ", b"VP8L") else b""
    return pixels
