"""The files in a zip, read in place and within limits: nothing is unpacked to disk, and no entry is believed about its size.

A zip can promise more than any memory holds in a few bytes, and can hold more than it promises. The promises of all entries together are
compared with the length of the zip before anything is read; then each entry is unpacked block by block, to at most what it promised.
"""

import bz2
import contextlib
import copy
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

from sfumato.core.errors import DataError, ImageError

MAX_ENTRY = 1 << 29
"""Bytes that one file in a zip may unpack to."""

FREE, RATIO = 1 << 30, 100
"""All files together may unpack to the first, in bytes, and to the second times the length of the zip on top."""

_BLOCK = 1 << 16
_METHODS = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "", zipfile.ZIP_BZIP2: "", zipfile.ZIP_LZMA: "", 9: "Deflate64", 93: "Zstandard"}
_ENCRYPTED, _PATCHED, _END_MARKED, _UTF8 = 0x41, 0x20, 0x2, 0x800
_LZMA_MEMORY = 1 << 28
"""Bytes that unpacking LZMA may take; its own largest preset takes a quarter of them."""

Read = Callable[[int], bytes]
_Decoder = bz2.BZ2Decompressor | lzma.LZMADecompressor


@contextlib.contextmanager
def opened(source: Path) -> Iterator[zipfile.ZipFile]:
    """The zip, with its directory read. Raises DataError, naming `source`, if that is not whole, or of a kind that is not read."""
    with contextlib.ExitStack() as held:
        try:
            archive = held.enter_context(zipfile.ZipFile(source))
        except OSError as error:
            raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error
        except MemoryError:
            raise
        except zipfile.BadZipFile as error:
            raise DataError(f"{source}: is not a whole zip file ({error}); fetch or pack it again") from error
        except Exception as error:  # a damaged directory can make zipfile raise anything
            why = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{source}: its directory cannot be read ({why}); fetch or pack it again") from error
        yield archive


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip does, or has a zip's name. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def members(archive: zipfile.ZipFile) -> tuple[dict[str, ZipInfo], list[str]]:
    """The files in the zip by their names, and a line for each that has no name or another's name.

    Of several files of one name the last counts, as when the zip is unpacked. Names have forward slashes and no `..`, `.` or root.
    """
    entries: dict[str, ZipInfo] = {}
    odd = []
    for number, info in enumerate(archive.infolist(), 1):
        name = entry_name(info)
        if info.filename.endswith(("/", "\\")):
            continue
        if not name:
            odd.append(f"entry {number} of the zip: has no name")
            continue
        if name in entries:
            odd.append(f"{name}: is in the zip more than once; the last of them is taken")
        entries[name] = info
    return entries, odd


def entry_name(info: ZipInfo) -> str:
    """The name of an entry as a path below the zip; empty if nothing is left of it.

    A name that is not marked as UTF-8 is read as UTF-8 all the same if it can be: the zips of a Mac do not mark theirs.
    """
    name = info.filename
    if not info.flag_bits & _UTF8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return "/".join(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "//", ".", ".."))


def check_total(source: Path, infos: Sequence[ZipInfo]) -> None:
    """Raises DataError if these entries promise to unpack to more than a zip of honest files of this length could."""
    length, total = source.stat().st_size, sum(info.file_size for info in infos)
    if total > FREE + RATIO * length:
        promise = f"{len(infos):,} files in {length:,} bytes would unpack to {total / 1e9:,.1f} GB"
        raise DataError(f"{source}: {promise}, more than {RATIO} times as much: is it a zip bomb? If not, unpack it and give the folder")


def beginning(archive: zipfile.ZipFile, info: ZipInfo, most: int) -> bytes:
    """The first `most` bytes of an entry, or fewer if it is shorter or damaged; nothing if it cannot be read at all."""
    start = bytearray()
    with contextlib.suppress(Exception):  # whatever is wrong is told when the whole is read
        for block in _blocks(archive, info):
            start += block
            if len(start) >= most:
                break
    return bytes(start[:most])


def content(archive: zipfile.ZipFile, info: ZipInfo) -> io.BytesIO:
    """All of an entry. Raises ImageError if it is encrypted, packed by a method that is not read, or larger than it may be or promised.

    What else is wrong with it comes as zipfile's own exceptions, for `decode.reading` to name.
    """
    if info.file_size > MAX_ENTRY:
        raise ImageError(f"unpacks to more than the {MAX_ENTRY >> 20} MiB allowed")
    whole = io.BytesIO()
    for block in _blocks(archive, info):
        whole.write(block)
        if whole.tell() > info.file_size:
            raise ImageError(f"unpacks to more than the {info.file_size:,} bytes that the zip promises")
    if whole.tell() < info.file_size or zlib.crc32(whole.getbuffer()) != info.CRC:
        raise zipfile.BadZipFile("Bad CRC-32" if whole.tell() == info.file_size else "the packed data is cut short")
    whole.seek(0)
    return whole


def _blocks(archive: zipfile.ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """The unpacked bytes of an entry, in pieces of at most `_BLOCK`."""
    if info.flag_bits & _ENCRYPTED:
        raise ImageError("is encrypted; unpack the zip with its password and give the folder")
    if _METHODS.get(info.compress_type, "?") or info.flag_bits & _PATCHED:
        method = _METHODS.get(info.compress_type) or f"method {info.compress_type}"
        raise ImageError(f"is packed by {method}, which is not read; pack it again with Deflate")
    if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with archive.open(info) as file:
            yield from iter(lambda: file.read(_BLOCK), b"")
        return
    # The reader of zipfile sets no limit to what these two make of a few bytes.
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC
    with archive.open(packed) as file:
        yield from _decoded(file.read, *_decoder(file.read, info))


def _decoder(read: Read, info: ZipInfo) -> tuple[_Decoder, bytes]:
    """What unpacks the bytes that `read` gives next, and what it wants to be given first."""
    if info.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), b""
    # An entry begins with a version, the length of the properties and these; a file of LZMA alone, with these and the unpacked length.
    _, length = struct.unpack("<HH", read(4))
    size = (1 << 64) - 1 if info.flag_bits & _END_MARKED else info.file_size
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY), read(length) + struct.pack("<Q", size)


def _decoded(read: Read, decoder: _Decoder, data: bytes) -> Iterator[bytes]:
    """What `decoder` makes of `data` and of all that `read` gives."""
    while not decoder.eof:
        if decoder.needs_input and not data:
            data = read(_BLOCK)
            if not data:
                raise EOFError("the packed data is cut short")
        block, data = decoder.decompress(data, _BLOCK), b""
        if block:
            yield block
        elif not (decoder.needs_input or decoder.eof):
            raise zipfile.BadZipFile("the packed data makes no sense")
