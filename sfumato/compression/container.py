"""The file format `.sfm`, byte by byte. Numbers are little endian; a `number` has 7 bits a byte, the lowest first, and 128 means more.

    4   8F 53 46 4D
    1   version (1) in the lower 4 bits; 16: grey, 32: tiles, 64: further blocks, 128: each tile has a network of its own
    1   quality, 1 to 100
    4   fingerprint of the network's integer part; zeros where tiles have networks of their own
    n   width, height: numbers, in pixels
    1   with tiles only: side of a tile in pixels, as a logarithm (base 2)
    2   CRC-32 of all bytes before, its lower 16 bits

    with tiles, a thumbnail: the picture with sides 32 times shorter (upwards), at quality `THUMBNAIL_QUALITY`; then each tile in reading
    order; without tiles, one tile alone
    n   8 * (length in bytes) + logarithm of the number of lanes: a number
    2   check of the hyperlatent, or of a network of its own and its coarse grids
    2   check of the latent, or of all grids
    .   stream (see `rans.py` and `symbols.py`, or `picture_stream.py`)

    further blocks
    1   0: end, 1: opacity, 2: colour profile (ICC), 3: EXIF
    n   length in bytes
    4   CRC-32 of the content as stored
    .   content, deflated; opacity is filtered like a PNG of 8 bits and one channel, each row as the difference from the row above

A check is the lower 16 bits of the CRC-32 of the symbols, 16 bits each.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sfumato.core.errors import FormatError
from sfumato.core.pillow_format import MAGIC
from sfumato.core.tensors import size_text
from sfumato.models.roles.codec import QUALITIES

VERSION = 1
_GREY, _TILES, _BLOCKS, _OWN = 16, 32, 64, 128
_TILE_SIDES = (0, *range(8, 15))
LONGEST_SIDE = 1 << 20
"""Largest width and height in pixels."""
MOST_BLOCK = 1 << 24
"""Largest unpacked size of a colour profile or of EXIF, in bytes; opacity has a byte for each pixel."""
OPACITY, PROFILE, EXIF = 1, 2, 3
_NAMES = {OPACITY: "opacity", PROFILE: "colour profile", EXIF: "EXIF"}
THUMBNAIL_QUALITY, THUMBNAIL_SCALE = 40, 32


@dataclass(frozen=True, kw_only=True)
class Header:
    """The beginning of a file."""

    quality: int
    fingerprint: bytes
    size: tuple[int, int]
    """Height and width in pixels."""
    grey: bool = False
    tile: int = 0
    """Logarithm of the side of a tile in pixels; 0 without tiles."""
    blocks: bool = False
    """Whether further blocks follow the tiles."""
    own_networks: bool = False
    """Whether each tile has a network of its own."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stream with its checks."""

    stream: bytes
    lanes: int
    hyper_check: int
    check: int
    whole: bool = True
    """Whether the file holds the stream to its end."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """The parts of a file."""

    header: Header
    thumbnail: Chunk | None = None
    """The picture at a smaller size; None without tiles."""
    tiles: tuple[Chunk, ...]
    """As many as the file has, at least in part."""
    blocks: dict[int, bytes] = field(default_factory=dict)
    """Content of the further blocks, unpacked, by kind."""
    faults: tuple[str, ...] = ()
    """What is wrong with the further blocks, or missing."""


def written(container: Container) -> bytes:
    """The bytes of a file."""
    header = container.header
    flags = VERSION | _GREY * header.grey | _TILES * bool(header.tile) | _BLOCKS * bool(container.blocks) | _OWN * header.own_networks
    start = MAGIC + bytes([flags, header.quality]) + header.fingerprint + _number(header.size[1]) + _number(header.size[0])
    start += bytes([header.tile]) if header.tile else b""
    parts = [start, _crc16(start)]
    for chunk in ([container.thumbnail] if container.thumbnail else []) + list(container.tiles):
        checks = [value.to_bytes(2, "little") for value in (chunk.hyper_check, chunk.check)]
        parts += [_number(len(chunk.stream) << 3 | chunk.lanes), *checks, chunk.stream]
    for kind, content in container.blocks.items():
        packed = zlib.compress(content, 9)
        parts += [bytes([kind]), _number(len(packed)), zlib.crc32(packed).to_bytes(4, "little"), packed]
    return b"".join([*parts, b"\0" if container.blocks else b""])


def parsed(data: bytes) -> Container:
    """The parts of a file, as far as it goes.

    Raises FormatError if the header is missing or damaged; later damage is left to the checks.
    """
    reader = _Reader(data)
    header = _header(reader)
    thumbnail = _chunk(reader) if header.tile else None
    tiles: list[Chunk] = []
    for _ in range(tile_count(header)):
        chunk = _chunk(reader)
        if chunk is None:
            break
        tiles.append(chunk)
    blocks, faults = dict[int, bytes](), list[str]()
    if header.blocks:
        for entry in _blocks(reader, math.prod(header.size)):
            if isinstance(entry, str):
                faults.append(entry)
            else:
                blocks.setdefault(*entry)
    return Container(header=header, thumbnail=thumbnail, tiles=tuple(tiles), blocks=blocks, faults=tuple(faults))


def tile_count(header: Header) -> int:
    """The number of tiles."""
    side = 1 << header.tile
    return -(-header.size[0] // side) * -(-header.size[1] // side) if header.tile else 1


def is_ours(start: bytes) -> bool:
    """Whether a file that begins with `start` claims to be of this format."""
    return start[: len(MAGIC)] == MAGIC


class _Reader:
    """Reads numbers and bytes from the beginning of a file on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or all that are left."""
        piece = self.data[self.place : self.place + count]
        self.place += len(piece)
        return piece

    def number(self) -> int | None:
        """The next number; None if the file ends within it, or if it has more than 40 bits."""
        value = 0
        for shift in range(0, 42, 7):
            byte = self.take(1)
            if not byte:
                return None
            value |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return value
        return None


def read_header(data: bytes) -> Header:
    """The header of a file. Raises FormatError if it is missing or damaged."""
    return _header(_Reader(data))


def _header(reader: _Reader) -> Header:
    if not is_ours(reader.take(len(MAGIC))):
        raise FormatError("is no file of compress (its first bytes are others)")
    start = reader.take(6)
    if len(start) < 6:
        raise FormatError("ends within its header")
    if start[0] & 15 != VERSION:
        raise FormatError(f"has version {start[0] & 15} of the format, and this version of Sfumato reads {VERSION}; install a newer one")
    width, height = reader.number(), reader.number()
    tile = reader.take(1) if start[0] & _TILES else b"\0"
    body = reader.data[: reader.place]
    check = reader.take(2)
    if width is None or height is None or not tile or len(check) < 2:
        raise FormatError("ends within its header")
    if check != _crc16(body):
        raise FormatError("has a damaged header (its check does not fit)")
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE) or start[1] not in QUALITIES or tile[0] not in _TILE_SIDES:
        raise FormatError(f"has a header that cannot be ({size_text((height, width))} pixels at quality {start[1]})")
    return Header(
        quality=start[1],
        fingerprint=start[2:],
        size=(height, width),
        grey=bool(start[0] & _GREY),
        tile=tile[0],
        blocks=bool(start[0] & _BLOCKS),
        own_networks=bool(start[0] & _OWN),
    )


def _chunk(reader: _Reader) -> Chunk | None:
    """The next stream, perhaps cut off; None if the file has ended before its first byte."""
    number = reader.number()
    hyper_check, check = reader.take(2), reader.take(2)
    if number is None or len(check) < 2:
        return None
    stream = reader.take(number >> 3)
    return Chunk(
        stream=stream,
        lanes=number & 7,
        hyper_check=int.from_bytes(hyper_check, "little"),
        check=int.from_bytes(check, "little"),
        whole=len(stream) == number >> 3,
    )


def _blocks(reader: _Reader, pixels: int) -> Iterator[tuple[int, bytes] | str]:
    """Kind and content of the first block of each known kind, or a sentence about a damaged one; `pixels` is the area of the picture."""
    waited_for = set(_NAMES)
    while kind := reader.take(1):
        if kind == b"\0":
            return
        length, check = reader.number(), reader.take(4)
        packed = reader.take(length or 0)
        if zlib.crc32(packed).to_bytes(4, "little") != check:
            yield f"its {_NAMES.get(kind[0], 'further block')} is damaged and was left out"
        elif kind[0] in waited_for:  # nothing else is unpacked: a few kilobytes may stand for gigabytes
            waited_for.remove(kind[0])
            content = _unpacked(packed, pixels if kind[0] == OPACITY else MOST_BLOCK)
            yield f"its {_NAMES[kind[0]]} is damaged and was left out" if content is None else (kind[0], content)
    yield "it ends before its last block"


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """The content of a block; None if it is damaged, or longer than `most` bytes."""
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(packed, most)
        # The end of a stream may lie behind its last byte, and is found as the next one is asked for.
        more = b"" if unpacking.eof else unpacking.decompress(unpacking.unconsumed_tail, 1)
    except zlib.error:
        return None
    return content if unpacking.eof and not more else None


def _number(value: int) -> bytes:
    """A number in bytes of 7 bits."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _crc16(data: bytes) -> bytes:
    return (zlib.crc32(data) & 0xFFFF).to_bytes(2, "little")
