"""Reading picture files with their metadata, and writing them atomically.

    read ─> Picture (pixels, opacity, metadata) ─> write

Files are encoded in memory, then written by `core/atomic_io.py`. Pillow holds 16 bits per sample for grey images only: colour images of 16
bits are read with 8, and `bit_depth` is that of the file; lossless reading uses `io/streaming.py` for them.
"""

import contextlib
import dataclasses
import importlib.util
import io
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8, UInt16
from PIL import Image
from torch import Tensor

from sfumato.core import atomic_io
from sfumato.core.errors import ImageError, MissingExtraError, SettingError
from sfumato.core.extras import install, missing
from sfumato.core.tensors import Pixels
from sfumato.io import bit_depth, decode, formats, metadata, streaming
from sfumato.io.metadata import Metadata
from sfumato.io.metadata_embed import embed_in_tiff

Layout = Literal["samples", "palette", "bit"]

FORMATS = formats.WRITABLE
"""Formats that can be written, by the ending of the file name."""

_OPTIONS: dict[str, dict[str, object]] = {
    "WEBP": {"lossless": True, "exact": True},  # exact keeps the colours of transparent pixels
    "TIFF": {"compression": "tiff_deflate"},
}
_LAYOUTS: dict[str, Layout] = {"P": "palette", "PA": "palette", "1": "bit"}
_LARGE = 16_000_000
"""Number of pixels from which on a colour JPEG is decoded by pyvips, if installed: Pillow takes four bytes for each pixel."""
_FASTEST = {".gif": 50.0, ".webp": 60.0, ".mp4": 120.0}
"""Ending of an animation to the highest frame rate."""


@dataclass(frozen=True, kw_only=True)
class Picture(Metadata):
    """An upright picture with the metadata of its file: everything needed to write the file again."""

    pixels: UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]
    """Grey (c = 1) or colour (c = 3) in the colour space of `icc`, by default sRGB; uint16 spans 0 to 65535."""
    alpha: UInt8[Tensor, "h w 1"] | UInt16[Tensor, "h w 1"] | None = None
    """Opacity, of the dtype of `pixels`; 0 is transparent, the largest value opaque."""
    bit_depth: int = 8
    """Bits per sample in the file; may exceed those of `pixels`."""
    layout: Layout = "samples"
    """Storage in the file: samples, a palette or one bit a pixel; used again for writing if the pixels allow."""

    def in_8_bits(self) -> UInt8[Tensor, "h w c"]:
        """The pixels with 8 bits a sample, rounded to nearest."""
        return bit_depth.eight_bits(self.pixels)


def read(path: Path, *, lossless: bool = False, file: decode.Opened | None = None) -> Picture:
    """The upright picture in a file of any format that `decode` reads. CMYK becomes RGB and loses its profile.

    Without `lossless`, the first frame or page is read, and colour has 8 bits. With `lossless`, colour of 16 bits is read through pyvips,
    and several frames or more than 16 bits raise ImageError. ImageError is also raised if the file is no image, is damaged, has
    floating-point pixels or more than `decode.MAX_PIXELS`, or if pyvips is needed and missing. `file` is the file at `path` if it is open
    already; it stays open.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        return _read(path, opened, lossless=lossless)


def _read(path: Path, file: decode.Opened, *, lossless: bool) -> Picture:
    stored = metadata.sample_format(path, file=file)
    if stored.floating:
        raise ImageError(f"{path}: has floating-point pixels, of no stated range; save it with 8 or 16 bits")
    if lossless and stored.bits == 16 and stored.channels > 1:
        return _read_with_vips(path, file)
    with decode.opened(file, str(path)) as image:
        if lossless:
            decode.refuse_several(image)
        depth = stored.bits if image.format in ("PNG", "TIFF") else 1 if image.mode == "1" else 8
        layout = _LAYOUTS.get(image.mode, "samples")
        if image.format == "JPEG" and image.mode == "RGB" and math.prod(image.size) >= _LARGE and not isinstance(file, io.BytesIO):
            file_metadata, orientation = metadata.read(path, file=file, image=image)
            with contextlib.suppress(MissingExtraError):
                return Picture(pixels=streaming.pixels(path, orientation), **vars(file_metadata))
        image.load()
        wide = image.mode in decode.WIDE
        if lossless and wide and "transparency" in image.info:
            return _read_with_vips(path, file)
        if lossless and depth > (16 if wide else 8):
            raise ImageError(f"its {depth} bits per sample can only be read as {16 if wide else 8}; save it as 16-bit grey or 8 bits")
        pixels, alpha = (_wide(image), None) if wide else _layers(image)
        file_metadata, _ = metadata.read(path, file=file, image=image)
        if wide:
            file_metadata = dataclasses.replace(file_metadata, white=bit_depth.white(bit_depth.largest_of(pixels)))
            bit_depth.widened(pixels, file_metadata.white)
        return Picture(pixels=pixels, alpha=alpha, bit_depth=depth, layout=layout, **vars(file_metadata))


def write(path: str | Path, picture: Picture, *, check: atomic_io.Check | None = None) -> None:
    """Writes the picture in the format of the name's ending (see `FORMATS`), with all metadata that the format can hold, after `check`.

    A picture read with `lossless` keeps palette and one bit a pixel, if its pixels have few enough values. JPEG uses the tables of the
    picture's own JPEG, otherwise quality 95. JPEG and BMP have no opacity; transparency is laid over white. Comments are written to PNG
    only. 16 bits are written to PNG and TIFF, through pyvips for colour or opacity. Raises ImageError for a picture that the format cannot
    hold, MissingExtraError without pyvips, StorageError as `atomic_io.write` does.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: cannot write a picture as {path.suffix or 'a name without ending'!r}; use one of {', '.join(FORMATS)}")
    if picture.alpha is not None and picture.alpha.dtype != picture.pixels.dtype:
        raise ImageError(f"{path}: opacity is {picture.alpha.dtype}, the pixels are {picture.pixels.dtype}; both must have one dtype")
    if picture.pixels.dtype == torch.uint16:
        if kind not in ("PNG", "TIFF"):
            raise ImageError(f"{path}: 16-bit pixels can be written as .png or .tif; reduce them to 8 bits first")
        if picture.pixels.shape[-1] > 1 or picture.alpha is not None:
            _write_with_vips(path, picture, check)
            return
    atomic_io.write(path, encoded(picture, kind, name=str(path)), check=check)


def encoded(picture: Picture, kind: str, *, name: str = "the picture") -> bytes:
    """The file of a picture of 8 bits, or of grey with 16 bits, in the format `kind` of Pillow, such as PNG, with all its metadata.

    Raises ImageError, beginning with `name`, for a picture that the format cannot hold.
    """
    image, content = _image(picture, kind), io.BytesIO()
    try:
        options = metadata.save_options(picture, kind, len(image.getbands()), (image.height, image.width))
        image.save(content, kind, **_OPTIONS.get(kind, {}), **options)
        if kind == "TIFF":
            embed_in_tiff(content, picture)
    except (ValueError, OSError, ImageError) as error:
        raise ImageError(f"{name}: cannot be written as {kind} ({error})") from error
    return content.getvalue()


def same_format(one: Path, other: Path, *, file: decode.Opened | None = None) -> bool:
    """Whether the file `one` has, by name or content, the format in which a file named `other` would be written.

    `file` is the file `one` if it is open already.
    """
    wanted = FORMATS.get(other.suffix.lower())
    if wanted is None or wanted == FORMATS.get(one.suffix.lower()):
        return wanted is not None
    if file is None:
        kind = formats.identify_file(one)
    else:
        file.seek(0)
        kind = formats.identify(file.read(formats.START), one.name)
    return kind is not None and wanted == kind.format


def copy(path: Path, target: Path, *, file: decode.Opened | None = None, check: atomic_io.Check | None = None) -> None:
    """Copies the bytes of a file of any size to `target`, after `check`; `file` is the file at `path` if it is open already.

    Raises ImageError if the file cannot be read, StorageError if `target` cannot be written.
    """
    with contextlib.ExitStack() as held:
        with decode.reading(str(path)):
            source = held.enter_context(decode.opening(file or path))
        with atomic_io.whole(target, check=check) as partial, partial.open("wb") as copied:
            shutil.copyfileobj(source, copied)


def save_image(path: Path, pixels: Pixels) -> None:
    """Writes pixels (h, w, c) as `write` does: grey (c = 1), grey and opacity (2), colour (3) or colour and opacity (4)."""
    if (c := pixels.shape[-1]) in (2, 4):
        write(path, Picture(pixels=pixels[..., : c - 1], alpha=pixels[..., c - 1 :]))
    else:
        write(path, Picture(pixels=pixels))


def save_animation(path: Path, frames: Sequence[Pixels], *, fps: float) -> None:
    """Writes frames of one size as a looping .gif or .webp, or as an .mp4 (H.264), at `fps` frames a second.

    Transparency is laid over white. A GIF has at most 256 colours a frame and durations in hundredths of a second; an .mp4 of odd size
    repeats its last row or column. Raises SettingError for an ending or rate that is not supported, ImageError for frames of different
    sizes or channels, MissingExtraError for an .mp4 without PyAV, StorageError as `atomic_io.write` does.
    """
    check_animation(path, fps)
    ending = path.suffix.lower()
    if not frames or len({frame.shape for frame in frames}) > 1 or frames[0].shape[-1] not in (1, 2, 3, 4):
        raise ImageError(f"{path}: an animation needs frames of one size with 1 to 4 channels; got {len(frames)} frames")
    frames = [_opaque(frame) for frame in frames]
    if ending == ".mp4":
        atomic_io.write(path, _mp4(frames, fps))
        return
    first, *rest = [_from_pixels(frame) for frame in frames]
    encoded = io.BytesIO()
    options = {"quality": 90} if ending == ".webp" else {}
    first.save(encoded, ending[1:].upper(), save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, **options)
    atomic_io.write(path, encoded.getvalue())


def check_animation(path: Path, fps: float) -> None:
    """Raises SettingError or MissingExtraError as `save_animation` would for this name and rate, before frames exist."""
    ending = path.suffix.lower()
    if ending not in _FASTEST:
        raise SettingError(f"{path}: cannot write an animation as {ending!r}; use one of {', '.join(_FASTEST)}")
    if not 0 < fps <= _FASTEST[ending]:
        raise SettingError(f"fps = {fps!r} is outside (0, {_FASTEST[ending]:g}] for {ending}")
    if ending == ".mp4" and not importlib.util.find_spec("av"):
        raise missing("films need", "PyAV")


def _read_with_vips(path: Path, file: decode.Opened) -> Picture:
    """A picture that Pillow cannot hold, read by pyvips. Raises ImageError if it is too large or in memory, or pyvips is missing."""
    if isinstance(file, io.BytesIO):
        raise ImageError(f"{path}: 16 bits of colour or with opacity are read from a path only; write the bytes to a file")
    if (size := streaming.megapixels(path) * 1e6) > decode.MAX_PIXELS:
        raise ImageError(f"{path}: {size / 1e6:.0f} megapixels, larger than the {decode.MAX_PIXELS // 1_000_000} megapixels allowed")
    try:
        with streaming.open_rows(path) as source:
            pixels, c = source.rows(0, source.size[0]), source.channels
            alpha = pixels[..., c:].contiguous() if source.alpha else None
            return Picture(pixels=pixels[..., :c].contiguous(), alpha=alpha, bit_depth=source.depth, **vars(source.metadata))
    except MissingExtraError as error:
        raise ImageError(
            f"{path}: its 16 bits per sample can only be read as 8 without pyvips; install it with: {install('pyvips')}"
        ) from error


def _write_with_vips(path: Path, picture: Picture, check: atomic_io.Check | None) -> None:
    """Writes a picture that Pillow cannot, by pyvips."""
    h, w, c = picture.pixels.shape
    layers = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    with streaming.Sink(path, (h, w), c, alpha=len(layers) > 1, depth=16, metadata=picture) as sink:
        sink.write(torch.cat(layers, dim=-1))
        sink.finish(check)


def _wide(image: Image.Image) -> Tensor:
    """The 16-bit grey samples (h, w, 1) of an open image."""
    samples = torch.empty(*decode.upright_size(image), 1, dtype=torch.uint16)
    rows = samples.numpy()
    for top, left, piece in decode.upright_pieces(image):
        rows[top : top + piece.height, left : left + piece.width, 0] = decode.sixteen_bit(piece)
    return samples


def _layers(image: Image.Image) -> tuple[Tensor, Tensor | None]:
    """The colour or grey pixels of an open image, and its opacity, if the image has any."""
    c = 1 if image.mode in ("1", "L", "LA", "La") else 3
    clear = image.has_transparency_data
    size = decode.upright_size(image)
    colours, alpha = torch.empty(*size, c, dtype=torch.uint8), torch.empty(*size, 1, dtype=torch.uint8) if clear else None
    for top, left, piece in decode.upright_pieces(image):
        whole = np.asarray(decode.convert(piece, 4 if clear else c)).reshape(piece.height, piece.width, -1)
        place = (slice(top, top + piece.height), slice(left, left + piece.width))
        colours.numpy()[place] = whole[..., :c]
        if alpha is not None:
            alpha.numpy()[place] = whole[..., 3:]
    return colours, alpha


def _image(picture: Picture, kind: str) -> Image.Image:
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == torch.uint16:
        return Image.fromarray(bit_depth.narrowed(pixels[..., 0].contiguous(), picture.white).numpy())
    if picture.layout == "palette" and (kind == "PNG" or (kind in ("TIFF", "BMP") and alpha is None)) and (few := _palette(pixels, alpha)):
        return few
    if alpha is None:
        image = _from_pixels(pixels)
        bit = (
            picture.layout == "bit"
            and image.mode == "L"
            and kind in ("PNG", "TIFF", "BMP")
            and bool(((pixels == 0) | (pixels == 255)).all())
        )
        return image.convert("1", dither=Image.Dither.NONE) if bit else image
    clear = _from_pixels(torch.cat([pixels.expand(-1, -1, 3), alpha], dim=-1))
    if kind in ("JPEG", "BMP"):
        return decode.convert(clear, pixels.shape[-1])
    return clear.convert("LA") if pixels.shape[-1] == 1 and kind != "WEBP" else clear


def _palette(pixels: Pixels, alpha: UInt8[Tensor, "h w 1"] | None) -> Image.Image | None:
    """The picture with a palette of its colours; None if there are more than 256."""
    opaque = torch.full_like(pixels[..., :1], 255) if alpha is None else alpha
    packed = torch.cat([pixels.expand(-1, -1, 3), opaque], dim=-1).cpu().contiguous().numpy().view(np.uint32)[..., 0]
    if len(np.unique(packed[:: max(1, len(packed) // 16)])) > 256:  # some rows are enough to recognise a photograph
        return None
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return None
    listed = colours.view(np.uint8).reshape(-1, 4)
    image = Image.frombytes("P", packed.shape[::-1], index.astype(np.uint8).tobytes())
    image.putpalette(listed[:, :3].tobytes())
    if alpha is not None:
        image.info["transparency"] = listed[:, 3].tobytes()
    return image


def _opaque(frame: Pixels) -> UInt8[Tensor, "h w _shown"]:
    """The frame without opacity, laid over white where it is transparent."""
    if (c := frame.shape[-1]) in (1, 3):
        return frame
    return torch.from_numpy(decode.prepare(_from_pixels(frame), channels=c - 1, size=None, crop="centre"))


def _from_pixels(pixels: Pixels) -> Image.Image:
    if pixels.shape[-1] not in (1, 2, 3, 4):
        raise ImageError(f"pixels have {pixels.shape[-1]} channels; 1 (grey) or 3 (colour), or 2 or 4 (and alpha), can be written")
    return Image.fromarray(pixels.detach().cpu().squeeze(-1).contiguous().numpy())


def _mp4(frames: Sequence[Pixels], fps: float) -> bytes:
    """The frames as H.264 in an MP4, at a constant rate factor of 18 (visually nearly lossless)."""
    try:
        import av
    except ImportError as error:
        raise missing("writing .mp4 needs", "PyAV") from error
    encoded = io.BytesIO()
    height, width, _ = frames[0].shape
    with av.open(encoded, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for frame in frames:
            even = np.pad(frame.cpu().expand(-1, -1, 3).numpy(), [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    return encoded.getvalue()
