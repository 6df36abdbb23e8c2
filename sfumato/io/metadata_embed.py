"""Puts notes into a picture file that was encoded without any, in constant memory, and byte for byte as Pillow would write them.

A one-pixel file of the same format with these notes is the donor; its pieces that are not pixels go in front of the pixels. A TIFF is
not copied: a new directory that knows more goes to its end, and its first bytes then point there.
"""

import io
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from sfumato.io.metadata import Metadata, save_options, tiff_directory, tiff_head
from sfumato.io.png import PNG, File

_LAYOUT = {282, 283, 296, 274}
"""Tags of a TIFF that only the notes may say: resolution and orientation."""


def embed(encoded: Path, target: Path, kind: str, metadata: Metadata, *, channels: int, alpha: bool, size: tuple[int, int]) -> None:
    """Makes `target` of the file `encoded`, which is a `kind` ("PNG", "JPEG", "WEBP" or "TIFF") and is used up by it."""
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
    """Adds the notes to the TIFF or BigTIFF in `file`, instead of what it said before about resolution and orientation."""
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
    """The entries of the directory at `start` by tag, as they stand there."""
    file.seek(start)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    entries = (file.read(20 if big else 12) for _ in range(count))
    return {struct.unpack_from(f"{order}H", entry)[0]: entry for entry in entries}


def _even(file: File) -> int:
    """Goes to the end of the file, made even as TIFF wants it."""
    if end := file.seek(0, io.SEEK_END) % 2:
        file.write(bytes(end))
    return file.tell()


def _png_pieces(content: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            yield content[place : place + length + 12]
        place += length + 12


def _to_pixels(source: File) -> None:
    """Goes on to the first chunk of pixels."""
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
    """Profile, then pixels, then the rest, behind a header that says what is there; nothing of it if there are no notes."""
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
    """The pieces that hold opacity and pixels. The encoder had them in memory as well."""
    source.seek(12)
    pixels = b""
    while len(head := source.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        content = source.read(length + length % 2)
        pixels += head + content if kind in (b"ALPH", b"VP8 ", b"VP8L") else b""
    return pixels
