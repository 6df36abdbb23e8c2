"""Files in a zip, read in place within limits on size: nothing is unpacked to disk, and sizes in the directory are not trusted.

A zip of a few bytes can declare, or contain, more data than fits into memory. The declared sizes of all entries are compared with the
length of the zip before anything is read; then each entry is unpacked block by block, up to its declared size.
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
"""Largest unpacked size of one file in a zip, in bytes."""

FREE, RATIO = 1 << 30, 100
"""Largest unpacked size of all files: `FREE` bytes plus `RATIO` times the length of the zip."""

_BLOCK = 1 << 16
_METHODS = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "", zipfile.ZIP_BZIP2: "", zipfile.ZIP_LZMA: "", 9: "Deflate64", 93: "Zstandard"}
_ENCRYPTED, _PATCHED, _END_MARKED, _UTF8 = 0x41, 0x20, 0x2, 0x800
_LZMA_MEMORY = 1 << 28
"""Memory limit of LZMA in bytes; its largest preset takes a quarter of this."""

Read = Callable[[int], bytes]
_Decoder = bz2.BZ2Decompressor | lzma.LZMADecompressor


@contextlib.contextmanager
def opened(source: Path) -> Iterator[zipfile.ZipFile]:
    """Yields the zip with its directory read. Raises DataError, naming `source`, if the directory is damaged or not supported."""
    with contextlib.ExitStack() as held:
        try:
            archive = held.enter_context(zipfile.ZipFile(source))
        except OSError as error:
            raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error
        except MemoryError:
            raise
        except zipfile.BadZipFile as error:
            raise DataError(f"{source}: is not a complete zip file ({error}); download or pack it again") from error
        except Exception as error:  # a damaged directory can make zipfile raise anything
            why = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{source}: the directory of the zip cannot be read ({why}); download or pack it again") from error
        yield archive


def is_zip(path: Path) -> bool:
    """Whether the file has the first bytes of a zip, or a name that ends in .zip. Raises DataError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def members(archive: zipfile.ZipFile) -> tuple[dict[str, ZipInfo], list[str]]:
    """Name to entry of the files in the zip, and a line for each entry without a name or with a repeated one.

    Of several entries with one name the last is kept, as when the zip is unpacked. Names have forward slashes and no `..`, `.` or root.
    """
    entries: dict[str, ZipInfo] = {}
    odd = []
    for number, info in enumerate(archive.infolist(), 1):
        name = entry_name(info)
        if info.filename.endswith(("/", "\\")):
            continue
        if not name:
            odd.append(f"entry {number} of the zip: has no name; left out")
            continue
        if name in entries:
            odd.append(f"{name}: is in the zip more than once; the last one is used")
        entries[name] = info
    return entries, odd


def entry_name(info: ZipInfo) -> str:
    """The name of an entry as a relative path with forward slashes, without `..`, `.` and root; empty if nothing remains.

    A name that is valid UTF-8 is decoded as UTF-8 also without the flag, which macOS does not set.
    """
    name = info.filename
    if not info.flag_bits & _UTF8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return "/".join(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "//", ".", ".."))


def check_total(source: Path, infos: Sequence[ZipInfo]) -> None:
    """Raises DataError if the declared sizes of `infos` exceed `FREE` plus `RATIO` times the length of the zip."""
    length, total = source.stat().st_size, sum(info.file_size for info in infos)
    if total > FREE + RATIO * length:
        claim = f"{len(infos):,} files in {length:,} bytes would unpack to {total / 1e9:,.1f} GB"
        raise DataError(
            f"{source}: {claim}, more than {RATIO} times as much: a zip bomb? If you trust the file, unpack it and give the folder"
        )


def beginning(archive: zipfile.ZipFile, info: ZipInfo, most: int) -> bytes:
    """The first `most` bytes of an entry; fewer if the entry is shorter or damaged."""
    start = bytearray()
    with contextlib.suppress(Exception):  # `content` reports every damage when the entry is read
        for block in _blocks(archive, info):
            start += block
            if len(start) >= most:
                break
    return bytes(start[:most])


def content(archive: zipfile.ZipFile, info: ZipInfo) -> io.BytesIO:
    """The unpacked content of an entry.

    Raises ImageError if the entry is encrypted, compressed by an unsupported method, or larger than allowed or declared; for other damage
    the exceptions of zipfile, which `decode.reading` turns into an ImageError.
    """
    if info.file_size > MAX_ENTRY:
        raise ImageError(f"unpacks to {info.file_size >> 20} MiB, more than the {MAX_ENTRY >> 20} MiB allowed; make the file smaller")
    whole = io.BytesIO()
    for block in _blocks(archive, info):
        whole.write(block)
        if whole.tell() > info.file_size:
            raise ImageError(f"unpacks to more than the {info.file_size:,} bytes that the zip declares; pack it again")
    if whole.tell() < info.file_size or zlib.crc32(whole.getbuffer()) != info.CRC:
        raise zipfile.BadZipFile("Bad CRC-32" if whole.tell() == info.file_size else "the packed data is cut short")
    whole.seek(0)
    return whole


def _blocks(archive: zipfile.ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """Yields the unpacked bytes of an entry, in pieces of at most `_BLOCK`."""
    if info.flag_bits & _ENCRYPTED:
        raise ImageError("is encrypted; unpack the zip with its password and give the folder")
    if _METHODS.get(info.compress_type, "?") or info.flag_bits & _PATCHED:
        method = _METHODS.get(info.compress_type) or f"method {info.compress_type}"
        raise ImageError(f"is compressed by {method}, which is not supported; pack it again with Deflate")
    if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with archive.open(info) as file:
            yield from iter(lambda: file.read(_BLOCK), b"")
        return
    # zipfile does not limit the output of bzip2 and LZMA, so that the packed bytes are read and decompressed here.
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC
    with archive.open(packed) as file:
        yield from _decoded(file.read, *_decoder(file.read, info))


def _decoder(read: Read, info: ZipInfo) -> tuple[_Decoder, bytes]:
    """The decompressor of an entry, and the bytes that it takes before those of `read`."""
    if info.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), b""
    # A zip entry starts with version, length of the properties and properties; an LZMA file with properties and unpacked length.
    _, length = struct.unpack("<HH", read(4))
    size = (1 << 64) - 1 if info.flag_bits & _END_MARKED else info.file_size
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY), read(length) + struct.pack("<Q", size)


def _decoded(read: Read, decoder: _Decoder, data: bytes) -> Iterator[bytes]:
    """Yields the decompressed bytes of `data` and of everything that `read` returns."""
    while not decoder.eof:
        if decoder.needs_input and not data:
            data = read(_BLOCK)
            if not data:
                raise EOFError("the packed data is cut short")
        block, data = decoder.decompress(data, _BLOCK), b""
        if block:
            yield block
        elif not (decoder.needs_input or decoder.eof):
            raise zipfile.BadZipFile("the packed data is invalid")
