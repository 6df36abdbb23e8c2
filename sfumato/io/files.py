"""Picture files with all that is in them, and writing them whole or not at all.

    read ─> Picture (pixels, opacity, notes) ─> write

Everything is first encoded in memory, then written by `core/atomic_io.py`. Pillow holds 16 bits per sample in grey images only: a colour
image's come as 8, and `bit_depth` tells what the file had, or go through `io/streaming.py` where nothing may be lost.
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
from sfumato.io.metadata import Notes
from sfumato.io.metadata_embed import annotate

Layout = Literal["samples", "palette", "bit"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
"""What can be written, by the ending of the file's name."""

_OPTIONS: dict[str, dict[str, object]] = {
    "WEBP": {"lossless": True, "exact": True},  # with the colours of what is fully transparent
    "TIFF": {"compression": "tiff_deflate"},
}
_LAYOUTS: dict[str, Layout] = {"P": "palette", "PA": "palette", "1": "bit"}
_LARGE = 16_000_000
"""Pixels of a JPEG of colours from which on it is decoded some rows at a time if it can be: Pillow holds four bytes for each."""
_FASTEST = {".gif": 50.0, ".webp": 60.0, ".mp4": 120.0}


@dataclass(frozen=True, kw_only=True)
class Picture(Notes):
    """An upright image and what its file says about it: all that is needed to write it back as it was."""

    pixels: UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]
    """Grey (c = 1) or sRGB-like colour (c = 3), to be read with `icc`; uint16 spans 0 to 65535."""
    alpha: UInt8[Tensor, "h w 1"] | UInt16[Tensor, "h w 1"] | None = None
    """Opacity, of the same kind as `pixels`, at its largest where opaque."""
    bit_depth: int = 8
    """Bits per sample in the file, which may be more than `pixels` hold."""
    layout: Layout = "samples"
    """Whether the file had a palette or one bit a pixel, and should have again if the pixels allow it."""


def read(path: Path, *, lossless: bool = False, file: decode.Opened | None = None) -> Picture:
    """The picture in a file of any format that `decode` reads, upright. CMYK becomes RGB and loses its profile.

    Without `lossless` it is the first frame or page, and colour has 8 bits. With it, nothing is left out: 16 bits of colour are read
    through pyvips, and several frames or more than 16 bits raise ImageError. That is also raised if the file is no image, is damaged,
    has floating-point pixels or more than `decode.MAX_PIXELS`, or would need pyvips where there is none. `file` is the open file, from
    whoever has it; it stays open.
    """
    with decode.reading(str(path)), decode.opening(file or path) as opened:
        return _read(path, opened, lossless=lossless)


def _read(path: Path, file: decode.Opened, *, lossless: bool) -> Picture:
    found = metadata.samples(path, file=file)
    if found.floating:
        raise ImageError(f"{path}: has floating-point pixels, of no stated range; save it with 8 or 16 bits")
    if lossless and found.bits == 16 and found.channels > 1:
        return _through_strips(path)
    with decode.opened(file, str(path)) as image:
        if lossless:
            decode.refuse_several(image)
        depth = found.bits if image.format in ("PNG", "TIFF") else 1 if image.mode == "1" else 8
        layout = _LAYOUTS.get(image.mode, "samples")
        if image.format == "JPEG" and image.mode == "RGB" and math.prod(image.size) >= _LARGE:
            said, orientation = metadata.of_file(path, file=file, image=image)
            with contextlib.suppress(MissingExtraError):
                return Picture(pixels=streaming.pixels(path, orientation), **vars(said))
        image.load()
        wide = image.mode in decode.WIDE
        if lossless and wide and "transparency" in image.info:
            return _through_strips(path)
        if lossless and depth > (16 if wide else 8):
            raise ImageError(f"its {depth} bits per sample can only be read as {16 if wide else 8}; save it as 16-bit grey or 8 bits")
        pixels, alpha = (_wide(image), None) if wide else _layers(image)
        said, _ = metadata.of_file(path, file=file, image=image)
        if wide:
            said = dataclasses.replace(said, white=bit_depth.white(bit_depth.largest_of(pixels)))
            bit_depth.widened(pixels, said.white)
        return Picture(pixels=pixels, alpha=alpha, bit_depth=depth, layout=layout, **vars(said))


def write(path: Path, picture: Picture, *, check: atomic_io.Check | None = None) -> None:
    """Writes the picture in the format of the name's ending (see `FORMATS`), with all of it that the format can hold, after `check`.

    What was read with `lossless` comes back as it was: palette and one bit too, if the pixels still have few enough values. JPEG is
    compressed as the picture's own JPEG was, otherwise at quality 95; it and BMP have no opacity, which goes over white. Comments go
    into PNG only. 16 bits go into PNG and TIFF, those of colour or with opacity through pyvips; anything else raises ImageError.
    Raises MissingExtraError without pyvips, StorageError as `disk.write` does.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: cannot write a picture as {path.suffix or 'a name without ending'!r}; use one of {', '.join(FORMATS)}")
    if picture.alpha is not None and picture.alpha.dtype != picture.pixels.dtype:
        raise ImageError(f"{path}: opacity is {picture.alpha.dtype}, the pixels are {picture.pixels.dtype}; make them the same")
    if picture.pixels.dtype == torch.uint16:
        if kind not in ("PNG", "TIFF"):
            raise ImageError(f"{path}: 16-bit pixels can be written as .png or .tif; reduce them to 8 bits first")
        if picture.pixels.shape[-1] > 1 or picture.alpha is not None:
            _sink(path, picture, check)
            return
    image, encoded = _image(picture, kind), io.BytesIO()
    try:
        said = metadata.options(picture, kind, len(image.getbands()), (image.height, image.width))
        image.save(encoded, kind, **_OPTIONS.get(kind, {}), **said)
        if kind == "TIFF":
            annotate(encoded, picture)
    except (ValueError, OSError, ImageError) as error:
        raise ImageError(f"{path}: cannot be written as {kind} ({error})") from error
    atomic_io.write(path, encoded.getvalue(), check=check)


def same_format(one: Path, other: Path, *, file: decode.Opened | None = None) -> bool:
    """Whether the file `one` has the format, of those that can be written, in which a file named `other` is: by its name or its content.

    `file` is the open file `one`, from whoever has it.
    """
    wanted = FORMATS.get(other.suffix.lower())
    if wanted is None or wanted == FORMATS.get(one.suffix.lower()):
        return wanted is not None
    if file is None:
        found = formats.identify_file(one)
    else:
        file.seek(0)
        found = formats.identify(file.read(formats.START), one.name)
    return found is not None and wanted == found.format


def copy(path: Path, target: Path, *, file: decode.Opened | None = None, check: atomic_io.Check | None = None) -> None:
    """The file itself, to the byte, however large, after `check`; `file` is the open file, from whoever has it.

    Raises ImageError if it cannot be read, StorageError if `target` cannot be written.
    """
    with contextlib.ExitStack() as held:
        with decode.reading(str(path)):
            source = held.enter_context(decode.opening(file or path))
        with atomic_io.whole(target, check=check) as partial, partial.open("wb") as copied:
            shutil.copyfileobj(source, copied)


def save_image(path: Path, pixels: Pixels) -> None:
    """Writes grey (c = 1) or colour (3), with opacity behind it (2 or 4), as `write` does."""
    if (c := pixels.shape[-1]) in (2, 4):
        write(path, Picture(pixels=pixels[..., : c - 1], alpha=pixels[..., c - 1 :]))
    else:
        write(path, Picture(pixels=pixels))


def save_animation(path: Path, frames: Sequence[Pixels], *, fps: float) -> None:
    """Writes frames of one size as an endless .gif or .webp, or as an .mp4 (H.264), at `fps` frames a second; opacity is laid over white.

    A GIF keeps time in hundredths of a second and at most 256 colours a frame; an .mp4 of odd size repeats its last row or column.
    Raises SettingError for a rate or ending that cannot be, ImageError for frames that do not match, MissingExtraError for an .mp4
    without PyAV, StorageError as `disk.write` does.
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
    """Raises what `save_animation` would raise for a name or a rate that cannot be, before there is a frame."""
    ending = path.suffix.lower()
    if ending not in _FASTEST:
        raise SettingError(f"{path}: cannot write an animation as {ending!r}; use one of {', '.join(_FASTEST)}")
    if not 0 < fps <= _FASTEST[ending]:
        raise SettingError(f"fps = {fps!r} is outside (0, {_FASTEST[ending]:g}] for {ending}")
    if ending == ".mp4" and not importlib.util.find_spec("av"):
        raise missing("films need", "PyAV")


def _through_strips(path: Path) -> Picture:
    """A picture that Pillow cannot hold."""
    if (size := streaming.megapixels(path) * 1e6) > decode.MAX_PIXELS:
        raise ImageError(f"{path}: {size / 1e6:.0f} megapixels, larger than the {decode.MAX_PIXELS // 1_000_000} megapixels allowed")
    try:
        with streaming.open_strips(path) as source:
            pixels, c = source.rows(0, source.size[0]), source.channels
            alpha = pixels[..., c:].contiguous() if source.alpha else None
            return Picture(pixels=pixels[..., :c].contiguous(), alpha=alpha, bit_depth=source.depth, **vars(source.notes))
    except MissingExtraError as error:
        raise ImageError(
            f"{path}: its 16 bits per sample can only be read as 8 without pyvips; install it with: {install('pyvips')}"
        ) from error


def _sink(path: Path, picture: Picture, check: atomic_io.Check | None) -> None:
    """Writes what Pillow cannot."""
    h, w, c = picture.pixels.shape
    layers = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    with streaming.Sink(path, (h, w), c, alpha=len(layers) > 1, depth=16, notes=picture) as sink:
        sink.write(torch.cat(layers, dim=-1))
        sink.finish(check)


def _wide(image: Image.Image) -> Tensor:
    """The 16-bit grey of an open image."""
    made = torch.empty(*decode.upright_size(image), 1, dtype=torch.uint16)
    rows = made.numpy()
    for top, left, piece in decode.pieces(image):
        rows[top : top + piece.height, left : left + piece.width, 0] = decode.sixteen(piece)
    return made


def _layers(image: Image.Image) -> tuple[Tensor, Tensor | None]:
    """Colour or grey of an open image, and opacity if there is any."""
    c = 1 if image.mode in ("1", "L", "LA", "La") else 3
    clear = image.has_transparency_data
    size = decode.upright_size(image)
    colours, alpha = torch.empty(*size, c, dtype=torch.uint8), torch.empty(*size, 1, dtype=torch.uint8) if clear else None
    for top, left, piece in decode.pieces(image):
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
    """The picture with a palette of its own colours, or None if these are more than 256."""
    opaque = torch.full_like(pixels[..., :1], 255) if alpha is None else alpha
    packed = torch.cat([pixels.expand(-1, -1, 3), opaque], dim=-1).cpu().contiguous().numpy().view(np.uint32)[..., 0]
    if len(np.unique(packed[:: max(1, len(packed) // 16)])) > 256:  # some rows are enough to tell a photograph
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
    """Grey or colour, laid over white where it is clear."""
    if (c := frame.shape[-1]) in (1, 3):
        return frame
    return torch.from_numpy(decode.prepare(_from_pixels(frame), channels=c - 1, size=None, crop="centre"))


def _from_pixels(pixels: Pixels) -> Image.Image:
    if pixels.shape[-1] not in (1, 2, 3, 4):
        raise ImageError(f"pixels have {pixels.shape[-1]} channels; 1 (grey) or 3 (colour), or 2 or 4 (and alpha), can be written")
    return Image.fromarray(pixels.detach().cpu().squeeze(-1).contiguous().numpy())


def _mp4(frames: Sequence[Pixels], fps: float) -> bytes:
    """The frames as H.264 in an MP4, at a quality where the loss is hard to see."""
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
