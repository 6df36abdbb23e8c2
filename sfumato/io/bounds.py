"""Limits on the memory that metadata of a picture file may take, checked before any library parses the file.

    file ─ check(file, format) ─> nothing, or ImageError in one line

A small file can declare large metadata. Pillow limits unpacked texts and profiles, but trusts the tags of EXIF and the lengths of chunks.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

from sfumato.core.errors import ImageError
from sfumato.io import tiff
from sfumato.io.png import PNG, PNG_SAMPLES, File
from sfumato.io.sizes import NO_LENGTH

LARGEST_FILE = 1 << 29
"""Largest file, in bytes, of the formats that must be read into memory as a whole before the first pixel."""
_TEXT = 1 << 20
"""Largest unpacked size, in bytes, of a text or colour profile of a PNG: Pillow's own limit."""
_DEFLATED = 1032
"""Largest compression ratio of Deflate."""
_BLOCKS = 32
"""Largest number of EXIF blocks in one file."""
_SKIPPED = 1 << 20
"""Bytes of padding between segments of a JPEG that are skipped at most, because skipping takes time."""
_EXIF = b"Exif\0\0"
_OLD_EXIF = b"Raw profile type exif\0"
_OTHERS = b"MPF\0"
"""Prefix of the directory of further pictures in a JPEG (Multi-Picture Format), which has the structure of EXIF."""


def check(file: File, form: str) -> None:
    """Raises ImageError if metadata of a file of Pillow's format `form` would take more memory than allowed. Rewinds the file."""
    judge = _JUDGES.get(form)
    if judge is not None:
        judge(file)
    file.seek(0)


def _png(file: File) -> None:
    total, pixels, promised = 0, 0, 0
    for kind, claimed, left in _chunks(file):
        if claimed > left + _TEXT:  # Pillow allocates the claimed length before reading; a smaller cut may still be readable
            raise ImageError(f"is cut off or damaged (a chunk claims {claimed} bytes, and the file has {left} left)")
        length = min(claimed, left)
        if kind == b"IDAT":
            pixels += length
            continue
        total += length
        if total > tiff.LARGEST:
            raise ImageError(f"holds more than {tiff.LARGEST >> 20} MiB beside its pixels; save it without them")
        content = file.read(length)
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            content = _unpacked(kind, content)
        if kind == b"eXIf":
            _exif(content)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and content.startswith(_OLD_EXIF):
            _exif(_from_hex(content))
        elif kind == b"IHDR" and len(content) > 9:
            width, height, bits, colour = struct.unpack_from(">IIBB", content)
            promised = width * height * bits * PNG_SAMPLES.get(colour, 1) // 8
    if pixels * _DEFLATED + 64 < promised:
        raise ImageError(f"is damaged (the header declares {promised} bytes of pixels, too many for {pixels} compressed bytes)")


def _chunks(file: File) -> Iterator[tuple[bytes, int, int]]:
    """Yields type and declared length of each chunk of a PNG, and the bytes left in the file, with the file at the chunk's content.

    Later frames of an animation are left out.
    """
    end, place = file.seek(0, io.SEEK_END), len(PNG)
    while place + 8 <= end:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind != b"fdAT":
            yield kind, length, end - place - 8
        place += length + 12


def _unpacked(kind: bytes, content: bytes) -> bytes:
    """The content of a text or profile chunk, decompressed. Raises ImageError if the result is longer than `_TEXT`."""
    keyword, _, rest = content.partition(b"\0")
    if kind == b"iTXt":
        if rest[:1] != b"\1":
            return content
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        rest = rest[1:]
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(rest, _TEXT)
    except zlib.error:
        return content  # the reader of the text reports the damage
    if unpacking.unconsumed_tail:
        raise ImageError(
            f"has a text or profile ({kind.decode()}) that unpacks to more than {_TEXT >> 20} MiB; save the picture without it"
        )
    return keyword + b"\0" + text


def _from_hex(text: bytes) -> bytes:
    """The EXIF block in a text of hexadecimal numbers, as old programs wrote it; empty if the text has another form."""
    try:
        return bytes.fromhex("".join(text.split(b"\0", 1)[1].decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""


def _jpeg(file: File) -> None:
    """Checks the segments before the pixels; EXIF segments are joined to one block."""
    end, place, total, blocks, skipped = file.seek(0, io.SEEK_END), 2, 0, [], 0
    while place + 4 <= end:
        file.seek(place)
        head = file.read(4)
        if head[0] != 0xFF or head[1] == 0xFF or head[1] in NO_LENGTH:
            place += 1 if head[0] != 0xFF or head[1] == 0xFF else 2
            skipped += 1
            if skipped > _SKIPPED:
                raise ImageError(f"is damaged (more than {_SKIPPED} bytes between the segments of its header)")
            continue
        if head[1] == 0xDA:
            break
        length = int.from_bytes(head[2:])
        total += length
        if total > tiff.LARGEST:
            raise ImageError(f"holds more than {tiff.LARGEST >> 20} MiB before its pixels; save it without them")
        content = file.read(max(0, length - 2)) if head[1] in (0xE1, 0xE2) else b""
        if content.startswith(_EXIF):
            blocks.append(content[len(_EXIF) :])
        elif content.startswith(_OTHERS):
            _exif(content[len(_OTHERS) :])
        place += 2 + max(2, length)
    _exif(b"".join(blocks))


def _webp(file: File) -> None:
    end, place = _whole(file), 12
    while place + 8 <= end:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"EXIF":
            _exif(file.read(min(length, end)))
        place += 8 + length + length % 2


def _boxes(file: File) -> None:
    """Checks an AVIF or HEIC. EXIF may lie in any item, so that every occurrence of a TIFF header is checked."""
    _whole(file)
    file.seek(0)
    content, blocks = file.read(), 0
    for beginning in (b"II*\0", b"MM\0*"):
        place = content.find(beginning)
        while place >= 0:
            blocks += 1
            if blocks > _BLOCKS:  # random bytes of this length have less than one on average
                raise ImageError(f"is damaged (more than {_BLOCKS} blocks of EXIF)")
            _exif(content[place : place + tiff.LARGEST])
            place = content.find(beginning, place + len(beginning))


def _exif(block: bytes) -> None:
    block = block.removeprefix(_EXIF)
    if block:
        tiff.guard(io.BytesIO(block))


def _whole(file: File) -> int:
    """The length of the file in bytes. Raises ImageError if the file is too large for a format that is read as a whole."""
    if (length := file.seek(0, io.SEEK_END)) > LARGEST_FILE:
        raise ImageError(f"is a file of {length / 1e6:.0f} MB, and this format is read as a whole; save it as PNG or TIFF")
    return length


def _tiff(file: File) -> None:
    tiff.checked(file)


_JUDGES: dict[str, Callable[[File], object]] = {
    "PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "AVIF": _boxes, "HEIF": _boxes, "JPEG2000": _whole, "RAW": _whole,
}  # fmt: skip
