"""Picture files with all that is in them, and writing them whole or not at all.

Everything is first encoded in memory, then written by `core/disk.py`. Pillow reads 16 bits per
sample in grey images only: those of a colour image come as 8, and `bit_depth` tells what the file had.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from sfumato.core import disk
from sfumato.core.errors import ImageError, MissingExtraError, SettingError
from sfumato.core.image import Pixels
from sfumato.data import decode

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
"""What can be written, by the ending of the file's name."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_deflate"},
}
_TIFF_BITS = 258
_FASTEST = {".gif": 50.0, ".webp": 60.0, ".mp4": 120.0}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An upright image and what its file says about it."""

    pixels: UInt8[Tensor, "h w c"] | UInt16[Tensor, "h w c"]
    """Grey (c = 1) or sRGB-like colour (c = 3), to be read with `icc`; uint16 spans 0 to 65535."""
    alpha: UInt8[Tensor, "h w 1"] | None = None
    """Opacity, 255 where opaque."""
    bit_depth: int = 8
    """Bits per sample in the file, which may be more than `pixels` hold."""
    exif: bytes = b""
    """Of JPEG, PNG and WebP files, with the turn that has been carried out taken out."""
    icc: bytes = b""
    """The colour profile of `pixels`."""
    dpi: tuple[float, float] | None = None
    """Across, down."""
    text: dict[str, str] = field(default_factory=dict)
    """The comments of a PNG by keyword."""


def read(path: Path, *, lossless: bool = False) -> Picture:
    """The picture in a file: PNG, JPEG, WebP, BMP, GIF or TIFF, of which the first frame or page.

    Raises ImageError if it is no such file, is damaged, or has more than `decode.MAX_PIXELS`; with `lossless` also if it has more
    bits than can be read.
    """
    with decode.opened(path, str(path)) as image:
        depth = _bit_depth(path, image)
        upright = ImageOps.exif_transpose(image)
        wide = upright.mode in decode.WIDE
        if lossless and depth > (16 if wide else 8):
            raise ImageError(f"its {depth} bits per sample can only be read as {16 if wide else 8}; save it as 16-bit grey or 8 bits")
        pixels, alpha = (_wide(upright), None) if wide else _layers(upright)
        return Picture(
            pixels=pixels,
            alpha=alpha,
            bit_depth=depth,
            exif=upright.info.get("exif", b""),
            icc=b"" if image.mode == "CMYK" else image.info.get("icc_profile") or b"",  # its profile would say nothing about RGB
            dpi=_dpi(image),
            text={key: str(value) for key, value in getattr(image, "text", {}).items()},
        )


def write(path: Path, picture: Picture) -> None:
    """Writes the picture in the format of the name's ending (see `FORMATS`), with all of it that the format can hold.

    JPEG loses a little (quality 95); it and BMP have no opacity, which goes over white. Comments go into PNG only. 16 bits go into
    PNG and TIFF, and in grey only: anything else raises ImageError. Raises StorageError as `disk.write` does.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: cannot write a picture as {path.suffix or 'a name without ending'!r}; use one of {', '.join(FORMATS)}")
    image = _image(path, picture, kind)
    extras: dict[str, Any] = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi}
    if kind == "PNG" and picture.text:
        extras["pnginfo"] = PngInfo()
        for key, value in picture.text.items():
            extras["pnginfo"].add_itxt(key, value)
    encoded = io.BytesIO()
    image.save(encoded, kind, **_OPTIONS.get(kind, {}), **{name: value for name, value in extras.items() if value})
    disk.write(path, encoded.getvalue())


def save_image(path: Path, pixels: Pixels) -> None:
    """Writes grey, colour or colour-and-alpha pixels (c = 1, 3 or 4) as `write` does."""
    if pixels.shape[-1] == 4:
        write(path, Picture(pixels=pixels[..., :3], alpha=pixels[..., 3:]))
    else:
        write(path, Picture(pixels=pixels))


def save_animation(path: Path, frames: Sequence[Pixels], *, fps: float) -> None:
    """Writes frames of one size, grey or colour, as an endless .gif or .webp, or as an .mp4 (H.264), at `fps` frames a second.

    A GIF keeps time in hundredths of a second and at most 256 colours a frame; an .mp4 of odd size repeats its last row or column.
    Raises SettingError for a rate or ending that cannot be, ImageError for frames that do not match, MissingExtraError for an .mp4
    without PyAV, StorageError as `disk.write` does.
    """
    ending = path.suffix.lower()
    if ending not in _FASTEST:
        raise SettingError(f"{path}: cannot write an animation as {ending!r}; use one of {', '.join(_FASTEST)}")
    if not 0 < fps <= _FASTEST[ending]:
        raise SettingError(f"fps = {fps!r} is outside (0, {_FASTEST[ending]:g}] for {ending}")
    if not frames or len({frame.shape for frame in frames}) > 1 or frames[0].shape[-1] not in (1, 3):
        raise ImageError(f"{path}: an animation needs frames of one size with 1 or 3 channels; got {len(frames)} frames")
    if ending == ".mp4":
        disk.write(path, _mp4(frames, fps))
        return
    first, *rest = [_from_pixels(frame) for frame in frames]
    encoded = io.BytesIO()
    options = {"quality": 90} if ending == ".webp" else {}
    first.save(encoded, ending[1:].upper(), save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, **options)
    disk.write(path, encoded.getvalue())


def _bit_depth(path: Path, image: Image.Image) -> int:
    """Bits per sample, from the header: Pillow itself says nothing when it drops some."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (1 if image.mode == "1" else 8,))
        return max(bits) if isinstance(bits, tuple) else bits
    return 1 if image.mode == "1" else 8


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    return (float(dpi[0]), float(dpi[1])) if dpi else None


def _wide(image: Image.Image) -> Tensor:
    return torch.from_numpy(decode.sixteen(image)[..., None])


def _layers(image: Image.Image) -> tuple[Tensor, Tensor | None]:
    """Colour or grey, and opacity if there is any."""
    grey = image.mode in ("1", "L", "LA", "La")
    clear = image.has_transparency_data
    layers = torch.from_numpy(decode.prepare(image, channels=4 if clear else 1 if grey else 3, size=None, crop="centre"))
    if not clear:
        return layers, None
    return layers[..., : 1 if grey else 3].contiguous(), layers[..., 3:].contiguous()


def _image(path: Path, picture: Picture, kind: str) -> Image.Image:
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == torch.uint16:
        if kind not in ("PNG", "TIFF") or pixels.shape[-1] != 1 or alpha is not None:
            raise ImageError(f"{path}: 16-bit pixels can be written as grey .png or .tif without opacity; reduce them to 8 bits first")
        return Image.fromarray(pixels[..., 0].contiguous().numpy())
    if alpha is None:
        return _from_pixels(pixels)
    clear = _from_pixels(torch.cat([pixels.expand(-1, -1, 3), alpha], dim=-1))
    if kind in ("JPEG", "BMP"):
        return decode.convert(clear, pixels.shape[-1])
    return clear.convert("LA") if pixels.shape[-1] == 1 and kind != "WEBP" else clear


def _from_pixels(pixels: Pixels) -> Image.Image:
    if pixels.shape[-1] not in (1, 3, 4):
        raise ImageError(f"pixels have {pixels.shape[-1]} channels; 1 (grey), 3 (colour) or 4 (and alpha) can be written")
    return Image.fromarray(pixels.detach().cpu().squeeze(-1).contiguous().numpy())


def _mp4(frames: Sequence[Pixels], fps: float) -> bytes:
    """The frames as H.264 in an MP4, at a quality where the loss is hard to see."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError('writing .mp4 needs PyAV; install it with: pip install "sfumato[video]"') from error
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
