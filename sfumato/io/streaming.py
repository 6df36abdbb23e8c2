"""Pictures larger than memory, a few rows at a time, through pyvips; and those of 16 bits that Pillow cannot hold.

    file ─ open_strips ─> Source.rows ─ (a network) ─> Sink.write ─ Sink.finish ─> file

Either side keeps the pixels uncompressed in a file beside what it reads for or writes, and removes it at the end. What memory is
needed depends on the width and not on the height, except for interlaced PNG, progressive JPEG and WebP, whose decoders or encoders
want the whole.
"""

import contextlib
import dataclasses
import errno
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8, UInt16
from torch import Tensor

from sfumato.core import atomic_io
from sfumato.core.errors import ImageError
from sfumato.core.extras import missing
from sfumato.core.tensors import size_text
from sfumato.io import bit_depth, decode, formats, metadata, tiff
from sfumato.io.metadata import Metadata
from sfumato.io.metadata_embed import embed
from sfumato.io.png import PNG

Rows = UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""What can be written, by the ending of the file's name."""

_STREAMED = ("PNG", "JPEG", "WEBP", "TIFF")
"""Formats, by Pillow's names, that are read here."""
_WEBP_SIDE = 16383
_JPEG_SIDE = 65535
_BLOCK = 16 << 20
"""Bytes that are turned at once."""
_STEP = 16
"""Rows that are decoded at once: libvips keeps several times as many."""
_CLASSIC = 3_500_000_000
"""Bytes of pixels above which a TIFF has 64-bit places, as 32 bits might not reach."""


def megapixels(path: Path, *, file: decode.Opened | None = None) -> float:
    """Millions of pixels, from the header, however many they are; raises ImageError if the file is no image.

    `file` is the open file, from whoever has it.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        return _pixel_count(opened, str(path)) / 1e6


def _pixel_count(file: decode.Opened, name: str) -> int:
    """How many pixels the open file called `name` has, from its header."""
    file.seek(0)
    start = file.read(formats.START)
    if start[:8] == PNG:
        return int.from_bytes(start[16:20]) * int.from_bytes(start[20:24])
    if (kind := formats.by_content(start, name)) is not None and kind.name == "TIFF":
        return math.prod(tiff.checked(file).size)
    with decode.opened(file, name, limit=None) as image:
        return math.prod(image.size)


def refuse_whole(*paths: Path | None, option: str, memory: float) -> None:
    """Raises ImageError for a file that cannot be read some rows at a time, and does not fit into so many bytes of `memory` otherwise.

    It `option` something, in words, or another format.
    """
    for path in paths:
        kind = formats.identify_file(path) if path else None
        if path is None or kind is None:
            continue
        if kind.format not in _STREAMED:
            raise ImageError(f"{path}: a {kind.name} can only be read whole; wants {option}to be converted to PNG or TIFF")
        if kind.format != "TIFF" and (need := _decoder_memory(path)) > memory:
            lies = "a WebP" if kind.format == "WEBP" else f"an interlaced or progressive {kind.name}"
            raise ImageError(f"{path}: {lies} is decoded as a whole, which takes {need / 1e9:.1f} GB; wants {option}to be saved as TIFF")


def _decoder_memory(path: Path) -> float:
    """Bytes that the decoder of a PNG, JPEG or WebP keeps at once; 0 if it keeps some rows only."""
    with decode.opened(path, str(path), limit=None) as image:
        pixels = math.prod(image.size)
        if image.format == "WEBP":
            return 8.0 * pixels
        if image.info.get("interlace"):
            return 4.0 * pixels * (2 if metadata.sample_format(path).bits == 16 else 1)
        return 6.0 * pixels if image.info.get("progressive") else 0.0  # two bytes for each coefficient of three colours


class Source:
    """An upright picture whose rows can be asked for in any order. Made by `open_strips`."""

    def __init__(self, raw: Path, size: tuple[int, int], channels: int, *, alpha: bool, depth: int, bit: bool, metadata: Metadata) -> None:
        self.size, self.channels, self.alpha, self.depth, self.bit = size, channels, alpha, depth, bit
        self.metadata = metadata
        self._raw = raw

    def rows(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop`, without the latter, grey (1) or colour (3); opacity, if there is any, is one more channel."""
        height, width = self.size
        if not 0 <= start <= stop <= height:
            raise ImageError(f"rows {start} to {stop} were asked of a picture of {height} rows")
        kind, shape = _kind(self.depth), (stop - start, width, self.channels + self.alpha)
        values = np.fromfile(self._raw, kind, math.prod(shape), offset=start * width * shape[2] * kind.itemsize)
        rows = torch.from_numpy(values.reshape(shape))
        return bit_depth.widened(rows, self.metadata.white) if self.depth == 16 else rows


@contextlib.contextmanager
def open_rows(path: Path, *, folder: Path | None = None) -> Iterator[Source]:
    """The picture in a PNG, JPEG, WebP or TIFF of any size: its pixels are unpacked into `folder` (or where temporary files go) meanwhile.

    CMYK becomes RGB, a palette colour, one bit 0 or 255. Raises ImageError for a file that is no such image, is damaged, has several
    frames or pages or floating-point pixels; MissingExtraError without pyvips; StorageError if `folder` cannot hold the pixels.
    """
    vips = _pyvips()
    notes, orientation, samples = _checked(path)
    with _scratch(folder or Path(tempfile.gettempdir()), "strips") as raw:
        try:
            image = _plain(vips.Image.new_from_file(str(path), access="sequential", fail_on="error"), path)
            with atomic_io.storing(raw), raw.open("wb") as file:
                largest = _unpack(vips, image, file, orientation)
        except vips.Error as error:
            raise ImageError(f"{path}: cannot be read ({_one_line(error)})") from error
        size = (image.width, image.height) if orientation > 4 else (image.height, image.width)
        alpha = image.bands in (2, 4)
        depth = 16 if image.format == "ushort" else 8
        bit = samples.bits == 1 and image.bands == 1
        notes = dataclasses.replace(notes, white=bit_depth.white(largest)) if depth == 16 else notes
        yield Source(raw, size, image.bands - alpha, alpha=alpha, depth=depth, bit=bit, metadata=notes)


def pixels(path: Path, orientation: int) -> UInt8[Tensor, "h w c"]:
    """The upright pixels of a file of 8 bits a sample, of which Pillow would hold four bytes for each and the result beside them.

    Of the same bytes libvips and Pillow make the same. Raises ImageError for what cannot be read, MissingExtraError without pyvips.
    """
    vips = _pyvips()
    try:
        image = _plain(vips.Image.new_from_file(str(path), access="sequential", fail_on="error"), path)
        if image.format != "uchar":
            raise ImageError(f"{path}: has samples of type {image.format}; save it with 8 bits")
        memory = mmap.mmap(-1, image.height * image.width * image.bands)
        _unpack(vips, image, memory, orientation)
    except vips.Error as error:
        raise ImageError(f"{path}: cannot be read ({_one_line(error)})") from error
    shape = (image.width, image.height) if orientation > 4 else (image.height, image.width)
    return torch.frombuffer(memory, dtype=torch.uint8).reshape(*shape, image.bands)


class Sink:
    """A picture that is given row by row, top to bottom, and is a file at the end: of one bit a pixel if it may be (`bit`) and can.

    Use it in a `with`: what it keeps on disk meanwhile, beside `path`, goes when the block is left.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        channels: int,
        *,
        alpha: bool = False,
        depth: int = 8,
        bit: bool = False,
        metadata: Metadata,
    ) -> None:
        self._kind = FORMATS.get(path.suffix.lower(), "")
        if not self._kind:
            raise ImageError(f"{path}: a picture of this size can be written as {', '.join(FORMATS)}")
        if depth == 16 and self._kind not in ("PNG", "TIFF"):
            raise ImageError(f"{path}: 16-bit pixels can be written as .png or .tif; reduce them to 8 bits first")
        side = {"WEBP": _WEBP_SIDE, "JPEG": _JPEG_SIDE}.get(self._kind)
        if side and max(size) > side:
            raise ImageError(f"{path}: {size_text(size)} pixels, but this format has at most {side} a side; write a .png or .tif")
        self._vips = _pyvips()
        self.path, self.size, self.channels, self.alpha, self.depth, self.metadata = path, size, channels, alpha, depth, metadata
        self._written, self._bit = 0, bit and channels + alpha == 1 and depth == 8
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Sink":
        with atomic_io.storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = self._open.enter_context(_scratch(self.path.parent, self.path.name))
            self._file = self._open.enter_context(self._raw.open("wb"))
            self._file.write(bytes(16))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def write(self, rows: Rows) -> None:
        """The next rows. Raises ImageError if they do not fit, StorageError if the disk is full."""
        h, w, c = rows.shape
        wanted = torch.uint16 if self.depth == 16 else torch.uint8
        if (w, c, rows.dtype) != (self.size[1], self.channels + self.alpha, wanted) or self._written + h > self.size[0]:
            raise ImageError(
                f"{self.path}: rows of shape {(h, w, c)}, {rows.dtype}, do not fit after {self._written} of {self.size[0]} rows"
            )
        with atomic_io.storing(self.path):
            plain = rows.detach().cpu().contiguous()
            (bit_depth.narrowed(plain, self.metadata.white) if self.depth == 16 else plain).numpy().tofile(self._file)
        self._written += h
        self._bit = self._bit and bool(((rows == 0) | (rows == 255)).all())

    def finish(self, check: atomic_io.Check | None = None) -> None:
        """Writes the file, whole or not at all, with the notes, after `check`.

        Raises ImageError if rows are missing, StorageError as `disk.write`.
        JPEG is written at about the quality of the notes, otherwise 95, and opacity goes over white there. A large TIFF is a BigTIFF.
        """
        if self._written != self.size[0]:
            raise ImageError(f"{self.path}: only {self._written} of {self.size[0]} rows were written")
        with atomic_io.storing(self.path):  # libvips would map raw pixels into memory, and reads those of a TIFF
            place = self._file.tell()
            self._file.write(_directory(self.size, self.channels, alpha=self.alpha, depth=self.depth, place=place))
            self._file.seek(0)
            self._file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, place))
            self._file.close()
        with atomic_io.whole(self.path, check=check) as partial, _scratch(self.path.parent, self.path.name) as encoded:
            try:
                self._encode(encoded)
            except self._vips.Error as error:
                full = os.strerror(errno.ENOSPC) in str(error)
                raise OSError(errno.ENOSPC if full else errno.EIO, _one_line(error)) from error
            try:
                embed(encoded, partial, self._kind, self.metadata, channels=self.channels, alpha=self.alpha, size=self.size)
            except (ValueError, ImageError) as error:  # of notes that are too long or damaged
                raise ImageError(f"{self.path}: cannot hold what the source says beside its pixels ({error})") from error

    def _encode(self, target: Path) -> None:
        place = str(target)
        image = self._vips.Image.new_from_file(str(self._raw), access="sequential")
        depth, predictor = (1, "none") if self._bit else (self.depth, "horizontal")
        if self._kind == "PNG":
            image.pngsave(place, compression=6, filter="none" if self._bit else "paeth", bitdepth=depth, keep="none")
        elif self._kind == "TIFF":
            large = self._raw.stat().st_size > _CLASSIC
            image.tiffsave(
                place, compression="deflate", predictor=predictor, bigtiff=large, bitdepth=depth if self._bit else 0, keep="none"
            )
        elif self._kind == "WEBP":
            image.webpsave(place, lossless=True, exact=True, keep="none")
        else:
            jpeg = self.metadata.jpeg
            thinned = "on" if jpeg and jpeg.subsampling > 0 else "off"
            image.jpegsave(place, Q=jpeg.quality() if jpeg else 95, subsample_mode=thinned, background=[255], keep="none")


def _unpack(vips: Any, image: Any, file: Any, orientation: int) -> int:
    """Writes the pixels in the order of the upright picture, some rows at a time; returns the largest sample."""
    kind, height, width, bands = (
        np.dtype(image.format.replace("uchar", "u1").replace("ushort", "u2")),
        image.height,
        image.width,
        image.bands,
    )
    region, step = vips.Region.new(image), _STEP * max(1, _BLOCK // (_STEP * width * bands * kind.itemsize))
    block, largest = np.empty((min(step, height), width, bands), kind), 0
    for top in range(0, height, step):
        count = min(step, height - top)
        for y in range(0, count, _STEP):
            some = min(_STEP, count - y)
            block[y : y + some] = np.frombuffer(region.fetch(0, top + y, width, some), kind).reshape(some, width, bands)
        largest = max(largest, int(block[:count].max()))
        rows = block[:count][:: -1 if orientation in (3, 4, 6, 7) else 1, :: -1 if orientation in (2, 3, 7, 8) else 1]
        first = height - top - count if orientation in (3, 4, 6, 7) else top
        if orientation <= 4:
            file.seek(first * width * bands * kind.itemsize)
            file.write(rows.tobytes())
            continue
        for i, column in enumerate(np.ascontiguousarray(rows.transpose(1, 0, 2))):
            file.seek((i * height + first) * bands * kind.itemsize)
            file.write(column.tobytes())
    return largest


def _directory(size: tuple[int, int], channels: int, *, alpha: bool, depth: int, place: int) -> bytes:
    """The BigTIFF directory at `place` of pixels that lie uncompressed behind the 16 bytes of the head."""
    (height, width), bands = size, channels + alpha
    length, strips = _STEP * width * bands * depth // 8, math.ceil(height / _STEP)
    tags = {256: [width], 257: [height], 258: [depth] * bands, 259: [1], 262: [2 if channels == 3 else 1], 277: [bands], 278: [_STEP]}
    tags[273] = [16 + length * i for i in range(strips)]
    tags[279] = [min(length, place - start) for start in tags[273]]
    if alpha:
        tags[338] = [2]
    entries, beyond, after = b"", b"", place + 8 + 20 * len(tags) + 8
    for tag, values in sorted(tags.items()):
        form = "Q" if tag in (273, 279) else "I" if tag in (256, 257) else "H"
        content = struct.pack(f"<{len(values)}{form}", *values)
        inside = content.ljust(8, b"\0") if len(content) <= 8 else struct.pack("<Q", after + len(beyond))
        entries += struct.pack("<HHQ", tag, {"H": 3, "I": 4, "Q": 16}[form], len(values)) + inside
        beyond += content if len(content) > 8 else b""
    return struct.pack("<Q", len(tags)) + entries + bytes(8) + beyond


def _checked(path: Path) -> tuple[Metadata, int, metadata.SampleFormat]:
    """What the file says, how it lies, and its samples. Raises ImageError for several frames or pages, and floating-point pixels."""
    with decode.reading(str(path)), path.open("rb") as file:
        kind = formats.by_content(file.read(formats.START), path.name)
        if kind is not None and kind.name == "TIFF":  # of 16 bits a sample, some of which Pillow does not open
            notes, orientation = metadata.read(path, file=file)
            decode.refuse_pages(tiff.checked(file).pages)
        else:
            with decode.opened(file, str(path), limit=None) as image:
                decode.refuse_several(image)
                notes, orientation = metadata.read(path, file=file, image=image)
        samples = metadata.sample_format(path, file=file)
        if samples.floating:
            raise ImageError("has floating-point pixels, of no stated range; save it with 8 or 16 bits")
    return notes, orientation, samples


def _plain(image: Any, path: Path) -> Any:
    """The opened picture as grey or sRGB of 8 or 16 bits, with or without opacity."""
    if image.interpretation == "cmyk":
        image = _without_ink(image)
    if image.interpretation not in ("b-w", "grey16", "srgb", "rgb", "rgb16", "multiband"):
        image = image.colourspace("srgb")
    if image.format not in ("uchar", "ushort") or image.bands > 4:
        raise ImageError(f"{path}: has {image.bands} samples of type {image.format} a pixel; save it as grey or RGB with 8 or 16 bits")
    return image


def _without_ink(image: Any) -> Any:
    """CMYK as RGB, as Pillow has it: with no thought of what ink on paper looks like, but of 16 bits where there are 16."""
    full, form = (65535, "ushort") if image.format == "ushort" else (255, "uchar")
    light = full - image.cast("double")
    colour = (light[:3] * light[3] / full).rint().cast(form)
    colour = colour if image.bands == 4 else colour.bandjoin(image[4:])
    return colour.copy(interpretation="rgb16" if full > 255 else "srgb")


def _kind(depth: int) -> np.dtype[Any]:
    return np.dtype(np.uint16 if depth == 16 else np.uint8)


@contextlib.contextmanager
def _scratch(folder: Path, name: str) -> Iterator[Path]:
    """A place for a file that is gone afterwards."""
    with atomic_io.partial(folder / name) as place:
        yield place


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _pyvips() -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise missing("pictures of 16-bit colour or larger than memory need", "pyvips") from error
    pyvips.cache_set_max(0)  # it would keep files open, and so on the disk, that are removed here
    return pyvips
