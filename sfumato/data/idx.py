"""IDX files, the format of MNIST and its relatives, plain or gzipped.

Two zero bytes, a type byte, the number of dimensions, a big-endian size for each, then the values row by row (LeCun, Cortes and Burges,
"The MNIST database of handwritten digits"). Only unsigned bytes are supported.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from sfumato.core.errors import DataError
from sfumato.core.tensors import Bytes, Labels

_File = gzip.GzipFile | io.BufferedReader
_GZIP = b"\x1f\x8b"
_BYTE_TYPE = 0x08
_BEST_DEFLATE = 1032
"""Largest expansion factor of Deflate; a header that declares more values is false."""


def read_images(path: Path) -> Bytes:
    """The grey images (n, 1, h, w) of an IDX file with three dimensions.

    Raises DataError, naming the file, if the file is no such IDX file, is too short, too long or empty.
    """
    values = _read(path)
    if values.dim() != 3:
        raise DataError(f"{path}: has {values.dim()} dimensions; images have 3 (count, height, width), so give the file of images")
    return values[:, None]


def read_labels(path: Path) -> Labels:
    """The labels, 0 to 255, of an IDX file with one dimension. Raises DataError as `read_images` does."""
    values = _read(path)
    if values.dim() != 1:
        raise DataError(f"{path}: has {values.dim()} dimensions; labels have 1, so give the file of labels")
    return values.long()


def labels_beside(path: Path) -> Path | None:
    """The file of labels beside a file of images, by the usual names (`x-images-idx3-ubyte.gz`, `x-labels-idx1-ubyte`); None if missing."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    candidates = (path.with_name(name + ending) for ending in ("", ".gz"))
    return next((file for file in candidates if file.is_file() and file.name != path.name), None)


def is_idx(path: Path) -> bool:
    """Whether the file has the first bytes of an IDX file of unsigned bytes, gzipped or not. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP
        with gzip.open(path) if zipped else path.open("rb") as file:
            return file.read(3) == bytes([0, 0, _BYTE_TYPE])
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read(path: Path) -> Tensor:
    """All values, uint8, in the shape of the header."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP
        most = path.stat().st_size * (_BEST_DEFLATE if zipped else 1)
        with gzip.open(path) if zipped else path.open("rb") as file:
            shape = _shape(path, file.read(4), file)
            count = math.prod(shape)
            if count > most:
                raise DataError(f"{path}: declares {count} values but is too short to hold them; download it again")
            values = _room(path, count)
            filled = _fill(file, values.numpy().data)
            if filled < count:
                raise DataError(f"{path}: ends after {filled} of {count} values; download it again")
            if file.read(1):
                raise DataError(f"{path}: continues after the {count} values that its header declares; download it again")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip data is damaged ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return values.reshape(shape)


def _room(path: Path, count: int) -> Tensor:
    try:
        return torch.empty(count, dtype=torch.uint8)
    except RuntimeError as error:
        raise DataError(f"{path}: its {count} values need {count / 1e9:.1f} GB of memory, more than is available") from error


def _shape(path: Path, magic: bytes, file: _File) -> tuple[int, ...]:
    """The size of each dimension, from the header that starts with `magic`."""
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file; it begins with {magic.hex(' ') or 'nothing'}, not 00 00 08")
    if magic[2] != _BYTE_TYPE:
        raise DataError(f"{path}: IDX values of type 0x{magic[2]:02x}; only unsigned bytes (0x08) are supported")
    sizes = file.read(4 * magic[3])
    if not 1 <= magic[3] <= 3 or len(sizes) < 4 * magic[3]:
        raise DataError(f"{path}: the IDX header names {magic[3]} dimensions and is {len(sizes) + 4} bytes long; 1 to 3 can be read")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: is empty; its dimensions are {' x '.join(map(str, shape))}")
    return shape


def _fill(file: _File, into: memoryview) -> int:
    """Reads into `into` until it is full or the file ends, and returns the number of bytes read."""
    filled = 0
    while filled < len(into) and (got := file.readinto(into[filled:])):
        filled += got
    return filled
