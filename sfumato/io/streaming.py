"""Streaming of pictures larger than memory, some rows at a time, through pyvips; also for colour of 16 bits, which Pillow cannot hold.

    file ─ open_rows ─> Source.rows ─ (a network) ─> Sink.write ─ Sink.finish ─> file

Source and Sink keep the pixels uncompressed in a temporary file, which they remove at the end. Memory depends on the width and not on the
height of the picture, except for interlaced PNG, progressive JPEG and WebP, whose codecs process whole pictures.
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
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8, UInt16
from torch import Tensor

from sfumato.core import atomic_io
from sfumato.core.errors import ImageError
from sfumato.core.extras import missing
from sfumato.core.tensors import size_text
from sfumato.io import bit_depth, decode, formats, metadata, sizes, tiff
from sfumato.io.metadata import Metadata
from sfumato.io.metadata_embed import embed

if TYPE_CHECKING:
    import pyvips

Rows = UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]

FORMATS = {ending: kind for ending, kind in formats.WRITABLE.items() if kind != "BMP"}
"""Formats that can be streamed, by the ending of the file name."""

_LARGEST_SIDE = {"WEBP": 16383, "JPEG": 65535}
"""Format to its longest side in pixels."""
_BLOCK = 16 << 20
"""Number of bytes that are turned at once."""
_STEP = 16
"""Number of rows that are decoded at once; libvips keeps several times as many."""
_CLASSIC = 3_500_000_000
"""Bytes of pixels above which a TIFF is written with 64-bit offsets (BigTIFF)."""


def megapixels(path: Path, *, file: decode.Opened | None = None) -> float:
    """Millions of pixels by the header, without a limit. Raises ImageError if the file is no image.

    `file` is the file at `path` if it is open already.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        return _pixel_count(opened, str(path)) / 1e6


def _pixel_count(file: decode.Opened, name: str) -> int:
    """Number of pixels of the open file called `name`, by its header."""
    file.seek(0)
    kind = formats.by_content(file.read(formats.START), name)
    if kind is not None and (size := sizes.stored_size(file, kind.format)) is not None:
        return math.prod(size)
    with decode.opened(file, name, limit=None) as image:
        return math.prod(image.size)


def refuse_whole(*paths: Path | None, option: str, memory: float) -> None:
    """Raises ImageError for a file that can only be read as a whole, if its decoder takes more than `memory` bytes.

    `option` names an alternative to conversion in the error, such as `2GB of --memory, or `; it may be empty.
    """
    for path in paths:
        kind = formats.identify_file(path) if path else None
        if path is None or kind is None:
            continue
        if kind.format not in FORMATS.values():
            raise ImageError(f"{path}: a {kind.name} can only be read whole; give {option}a PNG or TIFF")
        if kind.format != "TIFF" and (need := _decoder_memory(path)) > memory:
            lies = "a WebP" if kind.format == "WEBP" else f"an interlaced or progressive {kind.name}"
            raise ImageError(f"{path}: {lies} is decoded as a whole, which takes {need / 1e9:.1f} GB; give {option}a TIFF")


def _decoder_memory(path: Path) -> float:
    """Bytes that the decoder of a PNG, JPEG or WebP takes for the whole picture; 0 for a decoder that keeps some rows only."""
    with decode.opened(path, str(path), limit=None) as image:
        pixels = math.prod(image.size)
        if image.format == "WEBP":
            return 8.0 * pixels
        if image.info.get("interlace"):
            return 4.0 * pixels * (2 if metadata.sample_format(path).bits == 16 else 1)
        return 6.0 * pixels if image.info.get("progressive") else 0.0  # two bytes for each coefficient of three colours


class Source:
    """An upright picture whose rows can be read in any order; opened by `open_rows`."""

    def __init__(self, raw: Path, size: tuple[int, int], channels: int, *, alpha: bool, depth: int, bit: bool, metadata: Metadata) -> None:
        self.size, self.channels, self.alpha, self.depth, self.bit = size, channels, alpha, depth, bit
        self.metadata = metadata
        self._raw = raw

    def rows(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop` (exclusive) as pixels (h, w, c): grey or colour, followed by opacity if there is any.

        Raises ImageError for rows outside the picture.
        """
        height, width = self.size
        if not 0 <= start <= stop <= height:
            raise ImageError(f"rows {start} to {stop} lie outside a picture of {height} rows")
        kind, shape = _kind(self.depth), (stop - start, width, self.channels + self.alpha)
        values = np.fromfile(self._raw, kind, math.prod(shape), offset=start * width * shape[2] * kind.itemsize)
        rows = torch.from_numpy(values.reshape(shape))
        return bit_depth.widened(rows, self.metadata.white) if self.depth == 16 else rows


@contextlib.contextmanager
def open_rows(path: Path, *, folder: Path | None = None) -> Iterator[Source]:
    """Yields the picture in a PNG, JPEG, WebP or TIFF of any size; inside the `with`, its pixels lie uncompressed in `folder`.

    The default of `folder` is the system's folder for temporary files. CMYK becomes RGB, a palette becomes colour, one bit becomes 0 or
    255. Raises ImageError for a file that is no such image, is damaged, or has several frames or pages or floating-point pixels;
    MissingExtraError without pyvips; StorageError if `folder` cannot hold the pixels.
    """
    vips = _pyvips()
    file_metadata, orientation, samples = _checked(path)
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
        file_metadata = dataclasses.replace(file_metadata, white=bit_depth.white(largest)) if depth == 16 else file_metadata
        yield Source(raw, size, image.bands - alpha, alpha=alpha, depth=depth, bit=bit, metadata=file_metadata)


def pixels(path: Path, orientation: int) -> UInt8[Tensor, "h w c"]:
    """The upright pixels (h, w, c) of a file of 8 bits a sample, in less memory than Pillow needs.

    Results equal those of Pillow. Raises ImageError if the file cannot be read, MissingExtraError without pyvips.
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
    """Writes a picture row by row, from top to bottom. With `bit`, stores one bit a pixel if all pixels are 0 or 255.

    A context manager: the temporary file beside `path` is removed when the `with` ends. `size` is height and width, `channels` excludes
    opacity (`alpha`). Raises ImageError for an ending, depth or size that cannot be written, MissingExtraError without pyvips.
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
            raise ImageError(
                f"{path}: cannot be written in rows as {path.suffix or 'a name without ending'!r}; use one of {', '.join(FORMATS)}"
            )
        if depth == 16 and self._kind not in ("PNG", "TIFF"):
            raise ImageError(f"{path}: 16-bit pixels can be written as .png or .tif; reduce them to 8 bits first")
        side = _LARGEST_SIDE.get(self._kind)
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
        """Appends rows (h, w, c). Raises ImageError if their shape or dtype does not fit, StorageError if the disk is full."""
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
        """Encodes the rows and writes the file atomically with its metadata, after `check`.

        JPEG has about the quality in `metadata.jpeg`, otherwise 95, and transparency laid over white. A large TIFF is a BigTIFF. Raises
        ImageError if rows are missing or the format cannot hold the metadata, StorageError as `atomic_io.write`.
        """
        if self._written != self.size[0]:
            raise ImageError(f"{self.path}: only {self._written} of {self.size[0]} rows were written")
        with atomic_io.storing(self.path):  # libvips maps raw pixels into memory, but streams those of a TIFF
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
            except (ValueError, ImageError) as error:  # metadata that is too long or damaged
                raise ImageError(f"{self.path}: cannot hold the metadata of the source ({error}); choose another format") from error

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


def _unpack(vips: ModuleType, image: "pyvips.Image", file: BinaryIO | mmap.mmap, orientation: int) -> int:
    """Writes the pixels to `file` in the order of the upright picture, some rows at a time, and returns the largest sample."""
    kind, height, width, bands = (
        np.dtype(str(image.format).replace("uchar", "u1").replace("ushort", "u2")),
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
    """The BigTIFF directory, to be stored at `place`, of uncompressed pixels that follow the 16 bytes of the header."""
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
    """Metadata, orientation and sample format of the file. Raises ImageError for several frames or pages, or floating-point pixels."""
    with decode.reading(str(path)), path.open("rb") as file:
        kind = formats.by_content(file.read(formats.START), path.name)
        if kind is not None and kind.name == "TIFF":  # Pillow does not open all TIFFs of 16 bits a sample
            file_metadata, orientation = metadata.read(path, file=file)
            decode.refuse_pages(tiff.checked(file).pages)
        else:
            with decode.opened(file, str(path), limit=None) as image:
                decode.refuse_several(image)
                file_metadata, orientation = metadata.read(path, file=file, image=image)
        samples = metadata.sample_format(path, file=file)
        if samples.floating:
            raise ImageError("has floating-point pixels, of no stated range; save it with 8 or 16 bits")
    return file_metadata, orientation, samples


def _plain(image: "pyvips.Image", path: Path) -> "pyvips.Image":
    """The vips image as grey or sRGB of 8 or 16 bits, with or without opacity. Raises ImageError for other samples."""
    if image.interpretation == "cmyk":
        image = _without_ink(image)
    if image.interpretation not in ("b-w", "grey16", "srgb", "rgb", "rgb16", "multiband"):
        image = image.colourspace("srgb")
    if image.format not in ("uchar", "ushort") or image.bands > 4:
        raise ImageError(f"{path}: has {image.bands} samples of type {image.format} a pixel; save it as grey or RGB with 8 or 16 bits")
    return image


def _without_ink(image: "pyvips.Image") -> "pyvips.Image":
    """A CMYK image as RGB by the formula of Pillow, without colour management; 16 bits stay 16 bits."""
    full, form = (65535, "ushort") if image.format == "ushort" else (255, "uchar")
    light = full - image.cast("double")
    colour = (light[:3] * light[3] / full).rint().cast(form)
    colour = colour if image.bands == 4 else colour.bandjoin(image[4:])
    return colour.copy(interpretation="rgb16" if full > 255 else "srgb")


def _kind(depth: int) -> "np.dtype[np.uint8 | np.uint16]":
    return np.dtype(np.uint16 if depth == 16 else np.uint8)


@contextlib.contextmanager
def _scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yields the path of a temporary file, which is removed afterwards."""
    with atomic_io.partial(folder / name) as place:
        yield place


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _pyvips() -> ModuleType:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise missing("pictures of 16-bit colour or larger than memory need", "pyvips") from error
    pyvips.cache_set_max(0)  # the cache would keep removed files open, and their space on the disk
    return pyvips
