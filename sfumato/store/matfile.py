"""MATLAB files of version 5 to 7, checked before scipy reads them.

    file: header of 128 bytes ─ element ─ element ...          element: type, length, content, filled up to 8 bytes
    compressed element: an array, deflated                     array: flags, dimensions, name, then values or arrays

scipy takes memory by the sizes that a file claims, goes down into arrays in arrays without end, and ends the process where the type of an
element is none. So the elements are inflated here within a limit, and types, sizes, depth and number of arrays are checked against what is
there. Functions and objects of MATLAB are refused; nothing is run.
"""

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass

from sfumato.core.errors import FormatError
from sfumato.core.extras import missing

_HEADER, _LARGEST, _RATIO, _SPARE = 128, 1 << 29, 64, 1 << 23
"""Bytes of the header; most bytes of all arrays; most for each byte of the file; bytes that are free of that ratio."""
_DEEPEST, _MOST = 16, 20_000
"""Most arrays inside each other; most in all."""
_INT32, _UINT32, _MATRIX, _COMPRESSED, _NAME = 5, 6, 14, 15, (1, 2, 16)
"""Types of elements: those of dimensions, of flags, of arrays, of deflated arrays, and of names."""
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)
"""Classes of arrays."""
_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Types of elements that hold numbers, and the bytes of each number."""
_LETTERS = {2: 1, 4: 2, 16: 1, 17: 2, 18: 4}
"""Types of elements that hold text, and the least bytes of a letter."""
_COMPLEX = 0x800
"""The flag of arrays with an imaginary part."""


def load(data: bytes) -> dict[str, object]:
    """The variables in the content of a MATLAB file, by name, as scipy gives them.

    Raises FormatError, with the reason as a clause, if the file is damaged, larger than the limits, or holds anything but numbers, text,
    cells and structures; MissingExtraError without scipy.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing("MATLAB files need", "SciPy") from error
    plain = _inflated(data)
    _Walk(plain).arrays(_HEADER, len(plain))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read = loadmat(io.BytesIO(plain), struct_as_record=True, squeeze_me=False, chars_as_strings=True)
        except Exception as error:  # scipy raises whatever the damage leads to
            raise FormatError(f"is damaged ({' '.join(str(error).split())[:120] or type(error).__name__})") from error
    return {name: value for name, value in read.items() if not name.startswith("__")}


def _inflated(data: bytes) -> bytes:
    """The content with all elements inflated. Raises FormatError."""
    if len(data) < _HEADER or data[126:128] != b"IM":
        raise FormatError("is damaged (no header), or its numbers lie highest byte first")
    limit, parts, at = min(_LARGEST, _RATIO * len(data) + _SPARE), [data[:_HEADER]], _HEADER
    while at < len(data):
        if at + 8 > len(data):
            raise FormatError("is cut off")
        kind, length = struct.unpack_from("<II", data, at)
        end = at + 8 + length
        if kind not in (_MATRIX, _COMPRESSED) or end > len(data):
            raise FormatError("is cut off" if end > len(data) else f"holds an element of type {kind}, which is no array")
        parts.append(data[at:end] if kind == _MATRIX else _deflated(data[at + 8 : end], limit))
        limit -= len(parts[-1])
        at = end
    return b"".join(parts)


def _deflated(data: bytes, limit: int) -> bytes:
    """One inflated element of at most `limit` bytes. Raises FormatError."""
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(data, max(1, limit))
    except zlib.error as error:
        raise FormatError(f"is damaged ({error})") from error
    if engine.unconsumed_tail:
        raise FormatError("is larger than the limit for what it inflates to")
    return plain


@dataclass
class _Walk:
    """A walk through all arrays of a file. Every method raises FormatError for what is not as the file claims."""

    data: bytes
    count: int = 0
    depth: int = 0

    def arrays(self, at: int, end: int) -> None:
        """All arrays from `at` to `end`."""
        while at < end:
            at = self.array(at, end)

    def array(self, at: int, end: int) -> int:
        """Checks one array; the position after it."""
        self.count, self.depth = self.count + 1, self.depth + 1
        if self.count > _MOST or self.depth > _DEEPEST:
            raise FormatError(f"holds more than {_MOST:,} arrays, or more than {_DEEPEST} inside each other")
        kind, start, stop, after = self.element(at, end)
        if kind != _MATRIX:
            raise FormatError(f"is damaged (an element of type {kind} in the place of an array)")
        if start < stop:
            self.content(start, stop)
        self.depth -= 1
        return after

    def content(self, at: int, end: int) -> None:
        """Flags, dimensions and name of an array, and what follows for its class."""
        kind, start, stop, at = self.element(at, end)
        if kind != _UINT32 or stop - start != 8:
            raise FormatError("is damaged (no flags of an array)")
        flags = struct.unpack_from("<I", self.data, start)[0]
        kind, start, stop, at = self.element(at, end)
        if kind != _INT32 or (stop - start) % 4 or not 8 <= stop - start <= 128:
            raise FormatError("is damaged (no dimensions of an array)")
        sides = struct.unpack_from(f"<{(stop - start) // 4}i", self.data, start)
        # Every value and every array takes a byte at the least.
        if min(sides) < 0 or math.prod(sides) > end - at:
            raise FormatError(f"is damaged (an array of {' x '.join(map(str, sides))} in {end - at} bytes)")
        at = self.text(at, end)
        form = flags & 0xFF
        if form == _STRUCT:
            self.structure(math.prod(sides), at, end)
        elif form == _CELL:
            self.several(math.prod(sides), at, end)
        elif form == _CHAR:
            self.values(math.prod(sides), at, end, _LETTERS)
        elif form in _NUMBERS and not flags & _COMPLEX:
            self.values(math.prod(sides), at, end, _BYTES)
        elif form in _NUMBERS:
            raise FormatError("holds complex numbers")
        else:
            raise FormatError(f"holds an array of class {form}: a function, an object or a sparse matrix of MATLAB")

    def values(self, count: int, at: int, end: int, sizes: dict[int, int]) -> None:
        """One element of `count` numbers or letters, of a type with such `sizes`, and nothing after it."""
        kind, start, stop, after = self.element(at, end)
        if after != end or stop - start != count * sizes.get(kind, -1):
            raise FormatError(f"is damaged ({stop - start} bytes of type {kind} for {count} values)")

    def structure(self, count: int, at: int, end: int) -> None:
        """The names of the fields, and a value of each field for each element."""
        kind, start, stop, at = self.element(at, end)
        if kind != _INT32 or stop - start != 4:
            raise FormatError("is damaged (no length of the names of a structure)")
        length = struct.unpack_from("<i", self.data, start)[0]
        kind, start, stop, at = self.element(at, end)
        if kind not in _NAME or length < 1 or (stop - start) % length:
            raise FormatError("is damaged (no names of a structure)")
        self.several(count * ((stop - start) // length), at, end)

    def several(self, count: int, at: int, end: int) -> None:
        """Exactly `count` arrays."""
        if 8 * count > end - at:
            raise FormatError(f"is damaged ({count} arrays in {end - at} bytes)")
        for _ in range(count):
            at = self.array(at, end)

    def text(self, at: int, end: int) -> int:
        """A name; the position after it."""
        kind, _, _, after = self.element(at, end)
        if kind not in _NAME:
            raise FormatError("is damaged (no name of an array)")
        return after

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Type of the element at `at`, begin and end of its content, and the position after it."""
        if at + 8 > end:
            raise FormatError("is cut off")
        kind, length = struct.unpack_from("<II", self.data, at)
        if kind >> 16:  # up to four bytes of content lie inside the eight
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise FormatError("is damaged (a small element of more than four bytes)")
            return kind, at + 4, at + 4 + length, at + 8
        after = at + 8 + length + -length % 8
        if at + 8 + length > end:
            raise FormatError("is cut off")
        return kind, at + 8, at + 8 + length, min(after, end)
