"""Any picture that a caller has, as images: a path, bytes, an open file, a PIL image, an array, a tensor; and results of the same kind.

    picture ─ convert ─> InputPicture (images, opacity, JPEG quality) ─ work ─ output ─> PIL image, array or tensor

| picture | shape | values |
|---|---|---|
| path, bytes, binary file | | any format that `io/decode.py` reads |
| PIL image | | any mode but F |
| array | (h, w), (h, w, 1), (h, w, 3); with opacity (h, w, 2), (h, w, 4) | bool, uint8, uint16, floating point in [0, 1] |
| tensor | (c, h, w), (n, c, h, w) | floating point in [0, 1] |
| `Picture` | as `sfumato.read` returns it | |

The same picture gives the same images, bit for bit, in every kind. They lie in memory as a file's pixels do, channels last: a network may
round in another way for another order.
"""

import contextlib
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from sfumato.core import atomic_io
from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images, Maps, Planes, size_text
from sfumato.io import bit_depth, decode, files, formats, masks, metadata
from sfumato.io.channels import as_images, as_pixels


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading, as `open(path, "rb")` returns it."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`."""
        ...


PictureInput: TypeAlias = str | Path | bytes | bytearray | BinaryFile | Image.Image | np.ndarray | Tensor | files.Picture

LARGEST = 8.0
"""Largest absolute value of a floating-point picture: noise leads out of [0, 1], but not so far."""
LONGEST = 1 << 30
"""Bytes that are read from an open file at most: more than 100 megapixels without compression."""
_GREY = ("1", "L", "LA", "La")
_KINDS = "a path, bytes, a binary file, a PIL image, a NumPy array or a tensor"
_SHAPES = "an array is (height, width), or (height, width, channels) with 1 or 3 channels, or 2 or 4 with opacity"
Check = Callable[[str, int], None]
"""Called with the name and the number of pixels of a picture before it is decoded."""


@dataclass(frozen=True, kw_only=True)
class InputPicture:
    """The images of one picture, or of a tensor of several."""

    name: str
    """For error messages: the path, or the kind."""
    images: Images
    """In [0, 1], float32, on the CPU; the channels of the picture without opacity."""
    alpha: Planes | None = None
    """Opacity in [0, 1]."""
    quality: int | None = None
    """Quality of the JPEG, 1 to 100, for a file or an unchanged PIL image of one."""
    stored: torch.dtype = torch.uint8
    """How a file of the picture stores a sample: uint8 or uint16."""
    output: Callable[[Maps, Maps | None], Image.Image | np.ndarray | Tensor | files.Picture]
    """Images and their opacity, as the kind of the picture: a PIL image for files and PIL images."""


def convert(
    picture: PictureInput,
    *,
    several: bool = False,
    lossless: bool = False,
    own_range: bool = False,
    check: Check = lambda *_: None,
    noun: str = "picture",
) -> InputPicture:
    """The images of `picture`.

    With `several`, a tensor may hold more than one image. With `lossless`, a file of several frames, or of 16 bits and colour, is refused;
    without, the first frame is taken, and colour has 8 bits. With `own_range`, 10, 12 or 14 bits stored in 16 fill [0, 1], and the output
    has them again; pictures that are compared must keep one range. `noun` names the input in error messages. Raises
    ImageError for an input of another type, shape, dtype or range than the table above says, and for a file that cannot be read.
    """
    name = f"the {noun}"
    if isinstance(picture, Tensor):
        return _of_tensor(picture, check, several=several, noun=noun)
    if isinstance(picture, np.ndarray):
        return _of_array(picture, name, check, own_range=own_range)
    if isinstance(picture, files.Picture):
        return _of_picture(picture, name, check)
    if isinstance(picture, Image.Image):
        with decode.reading(name):
            check(name, math.prod(picture.size))
            quality = _jpeg_quality(picture)  # before the image is loaded
            return _of_image(_upright(picture, lossless=lossless), name, quality, own_range=own_range)
    with opened(picture, noun=noun) as (path, file):
        return _of_file(path, file, check, lossless=lossless, own_range=own_range)


def images_of(picture: PictureInput, *, noun: str = "picture") -> Images:
    """The images of `picture`, (n, c, h, w), without opacity; n is 1 but for a tensor of several. Raises ImageError as `convert`."""
    return convert(picture, several=True, noun=noun).images


def brightness(mask: PictureInput) -> Planes:
    """The brightness of a mask in [0, 1], (n, 1, h, w): the largest channel, times opacity.

    A tensor may also be (h, w), and of integers: 255 is white in it, or 65535 for uint16, or 1 if it has no larger value. Raises ImageError
    as `convert`.
    """
    if isinstance(mask, Tensor):
        if mask.ndim not in (2, 3, 4) or not mask.numel():
            raise ImageError(f"a mask of shape {tuple(mask.shape)} is none of (h, w), (1, h, w), (n, 1, h, w)")
        values = mask.detach().float().cpu()
        whole_numbers = not mask.is_floating_point() and bool(values.max() > 1)
        layers = values / (65535 if mask.dtype == torch.uint16 else 255) if whole_numbers else values
        return masks.brightness(layers.reshape(-1 if mask.ndim == 4 else 1, mask.shape[-3] if mask.ndim > 2 else 1, *mask.shape[-2:]))
    converted = convert(mask, noun="mask")
    return masks.brightness(converted.images, converted.alpha)


def input_facts(**pictures: PictureInput | None) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of each picture that is not None, by the key that it has in a recipe: of a file its bytes, else of its images."""
    return {key: _facts(key, picture) for key, picture in pictures.items() if picture is not None}


def _facts(key: str, picture: PictureInput) -> dict[str, str]:
    if isinstance(picture, str | Path):
        return {"file": Path(picture).name, "sha256": atomic_io.digest(Path(picture).expanduser())}
    values = picture.detach().cpu() if isinstance(picture, Tensor) else images_of(picture, noun=key)
    return {"file": f"the {key}", "sha256": hashlib.sha256(values.contiguous().numpy().data).hexdigest()}


def read(source: str | Path | bytes | bytearray | BinaryFile, *, lossless: bool = False) -> files.Picture:
    """The picture in a file, in bytes or in an open file, with its metadata, as `files.read` reads it. Raises ImageError."""
    if isinstance(source, str | Path):
        return files.read(Path(source).expanduser(), lossless=lossless)
    with opened(source) as (path, file):
        return files.read(path, lossless=lossless, file=file)


@contextlib.contextmanager
def opened(source: object, *, noun: str = "picture") -> Iterator[tuple[Path, decode.Opened]]:
    """The name and the open file of a path, of bytes or of an open file, at its beginning. Raises ImageError for anything else."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        with decode.reading(str(source)), path.open("rb") as file:
            yield path, file
    elif isinstance(source, bytes | bytearray):
        yield Path(f"the {noun}"), io.BytesIO(source)
    elif isinstance(source, BinaryFile):
        path = _file_name(source, noun)
        with decode.reading(str(path)):
            yield path, _buffered(source)
    else:
        raise ImageError(f"a {type(source).__name__} is no {noun}; give {_KINDS}")


def _file_name(file: BinaryFile, noun: str) -> Path:
    name = getattr(file, "name", None)
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) and name else Path(f"the {noun}")


@runtime_checkable
class _Seekable(Protocol):
    def seekable(self) -> bool: ...

    def seek(self, offset: int, /) -> object: ...


def _buffered(file: BinaryFile) -> io.BytesIO:
    """All bytes of an open file, from its beginning if it can go back there. Raises ImageError for text, and for too many bytes."""
    if isinstance(file, _Seekable) and file.seekable():
        file.seek(0)
    start = _beginning(file)
    if formats.by_content(start, str(getattr(file, "name", ""))) is None:
        return io.BytesIO(start)  # no picture: whoever decodes it says so, and an endless file is not read
    content = io.BytesIO(start)
    content.seek(0, io.SEEK_END)
    while block := file.read(1 << 20):
        content.write(block)
        if content.tell() > LONGEST:
            raise ImageError(f"is longer than {LONGEST >> 30} GiB; give its path instead")
    content.seek(0)
    return content


def _beginning(file: BinaryFile) -> bytes:
    """The first bytes, as many as tell the format; a pipe may hand them out in pieces."""
    start = b""
    while len(start) < formats.START and (block := file.read(formats.START - len(start))):
        if not isinstance(block, bytes):
            raise ImageError('is not open for reading bytes; open it with open(path, "rb")')
        start += block
    return start


def _of_file(path: Path, file: decode.Opened, check: Check, *, lossless: bool, own_range: bool) -> InputPicture:
    name = str(path)
    with decode.reading(name):
        samples = metadata.sample_format(path, file=file)
        if samples.floating:
            raise ImageError("has floating-point pixels, of no stated range; save it with 8 or 16 bits")
        if lossless and samples.bits == 16 and samples.channels > 1:
            raise ImageError("no PIL image holds 16 bits of colour; give an array of uint16, or repair it from file to file")
        with decode.opened(file, name) as image:
            check(name, math.prod(image.size))
            if lossless:
                decode.refuse_several(image)
            jpeg = metadata.read(path, file=file, image=image)[0].jpeg
            return _of_image(_upright(image, lossless=lossless), name, jpeg.quality() if jpeg else None, own_range=own_range)


def _upright(image: Image.Image, *, lossless: bool) -> Image.Image:
    if not min(image.size):
        raise ImageError(f"an image of {size_text((image.height, image.width))} pixels has no pixels")
    if lossless and image.mode in decode.WIDE and "transparency" in image.info:
        raise ImageError("no PIL image holds 16 bits and opacity; repair it from file to file")
    upright = decode.upright(image)
    upright.load()
    return upright.convert("LA") if upright.mode == "La" else upright  # Pillow converts La into nothing else


def _jpeg_quality(image: Image.Image) -> int | None:
    """Quality of a JPEG; None for other formats, and for an image that was loaded: its pixels may have been changed since."""
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.tile and not image.decoderconfig and image.quantization:
        return metadata.Jpeg(tables=tuple(tuple(table) for _, table in sorted(image.quantization.items())), subsampling=-1).quality()
    return None


def _of_image(image: Image.Image, name: str, quality: int | None, *, own_range: bool) -> InputPicture:
    """The images of a PIL image that is upright and loaded."""
    grey, opacity = image.mode in _GREY, image.has_transparency_data and image.mode not in decode.WIDE
    kind, white = torch.uint8, 65535
    if image.mode in decode.WIDE:
        pixels, kind = torch.from_numpy(decode.sixteen_bit(image)[..., None]), torch.uint16
        pixels, white = _over_own_range(pixels) if own_range else (pixels, white)
    else:
        channels = 4 if opacity else 1 if grey else 3
        pixels = torch.from_numpy(np.array(decode.convert(image, channels)).reshape(image.height, image.width, channels))
    images = as_images(pixels[..., : 1 if grey or kind == torch.uint16 else 3].contiguous())
    alpha = as_images(pixels[..., 3:].contiguous()) if opacity else None
    # A profile of CMYK or LAB says nothing about the RGB that the pixels become.
    kept = ("dpi", "exif", "comment") if image.mode in ("CMYK", "LAB") else ("icc_profile", "dpi", "exif", "comment")
    info: dict[str | tuple[int, int], object] = {key: image.info[key] for key in kept if key in image.info}

    def output(images: Maps, alpha: Maps | None) -> Image.Image:
        stored = _in_own_range(as_pixels(images, kind), white)
        result = pil_image(stored, None if alpha is None else as_pixels(alpha, torch.uint8), grey=grey)
        result.info = info
        return result

    return InputPicture(name=name, images=images, alpha=alpha, quality=quality, stored=kind, output=output)


def _over_own_range(samples: Tensor) -> tuple[Tensor, int]:
    """A copy of 16-bit samples scaled to the full range, and their white: samples of 10, 12 or 14 bits are scaled as those of files."""
    white = bit_depth.white(bit_depth.largest_of(samples))
    return bit_depth.widened(samples.clone(), white), white


def _in_own_range(pixels: Tensor, white: int) -> Tensor:
    return bit_depth.narrowed(pixels, white) if pixels.dtype == torch.uint16 else pixels


def pil_image(pixels: Tensor, alpha: Tensor | None, *, grey: bool) -> Image.Image:
    """Stored pixels (h, w, c) and their opacity, if there is any, as a PIL image of mode L, LA, RGB, RGBA or I;16."""
    if alpha is None:
        return Image.fromarray(pixels.squeeze(-1).numpy())
    image = Image.fromarray(torch.cat([pixels.expand(-1, -1, 3), alpha], dim=-1).numpy())
    return image.convert("LA") if grey else image


def _of_picture(picture: files.Picture, name: str, check: Check) -> InputPicture:
    check(name, math.prod(picture.pixels.shape[:2]))
    stored = picture.pixels.dtype
    alpha = None if picture.alpha is None else as_images(picture.alpha)

    def output(images: Maps, alpha: Maps | None) -> files.Picture:
        pixels = as_pixels(images, stored)
        return replace(picture, pixels=pixels, alpha=None if alpha is None else as_pixels(alpha, stored), jpeg=picture.fine_jpeg)

    quality = picture.jpeg.quality() if picture.jpeg else None
    return InputPicture(name=name, images=as_images(picture.pixels), alpha=alpha, quality=quality, stored=stored, output=output)


def _of_array(array: np.ndarray, name: str, check: Check, *, own_range: bool) -> InputPicture:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(f"{name}: an array of shape {array.shape} is no picture; {_SHAPES}")
    if not array.size:
        raise ImageError(f"{name}: an array of shape {array.shape} has no pixels")
    if array.dtype.kind not in "buf" or array.dtype.type in (np.uint32, np.uint64):
        raise ImageError(f"{name}: an array of {array.dtype} is no picture; give uint8, uint16, or floating point in [0, 1]")
    check(name, math.prod(array.shape[:2]))
    white = 65535
    stacked = array if array.ndim == 3 else array[..., None]
    if array.dtype.kind == "f":
        planes = torch.from_numpy(np.array(stacked, np.float32)).permute(2, 0, 1)[None]
        _check_range(planes, name)
    else:
        pixels = torch.from_numpy(stacked * np.uint8(255) if array.dtype == bool else np.array(stacked, array.dtype.type))
        if own_range and pixels.dtype == torch.uint16:
            pixels, white = _over_own_range(pixels)
        planes = as_images(pixels)
    c, stored = planes.shape[1], torch.uint16 if array.dtype.type == np.uint16 else torch.uint8
    images, alpha = (planes[:, : c - 1], planes[:, c - 1 :]) if c in (2, 4) else (planes, None)

    def output(images: Maps, alpha: Maps | None) -> np.ndarray:
        layers = images if alpha is None else torch.cat([images, alpha], dim=1)
        if array.dtype.kind == "f":
            result = layers[0].permute(1, 2, 0).contiguous().numpy().astype(array.dtype)
        else:
            result = _in_own_range(as_pixels(layers, stored), white).numpy()
        return result if array.ndim == 3 else result[..., 0]

    return InputPicture(name=name, images=images, alpha=alpha, stored=stored, output=output)


def _of_tensor(tensor: Tensor, check: Check, *, several: bool, noun: str) -> InputPicture:
    facts = f"a tensor of shape {tuple(tensor.shape)} and {tensor.dtype}"
    if tensor.ndim not in (3, 4) or not tensor.is_floating_point():
        raise ImageError(f"{facts} is not images (n, c, h, w) or (c, h, w) in [0, 1]")
    if not tensor.numel():
        raise ImageError(f"a tensor of shape {tuple(tensor.shape)} has no pixels; images are (n, c, h, w) or (c, h, w)")
    images = tensor if tensor.ndim == 4 else tensor[None]
    if len(images) > 1 and not several:
        raise ImageError(f"{facts} holds {len(images)} images; give one {noun}, (c, h, w) or (1, c, h, w)")
    images = images.detach().float().cpu().contiguous(memory_format=torch.channels_last)
    _check_range(images, "the tensor")
    check("the tensor", images.shape[2] * images.shape[3])

    def output(images: Maps, alpha: Maps | None) -> Tensor:
        return (images if tensor.ndim == 4 else images[0]).to(tensor.device)

    return InputPicture(name="the tensor", images=images, output=output)


def _check_range(values: Tensor, name: str) -> None:
    if not torch.isfinite(values).all():
        raise ImageError(f"{name} holds NaN or infinite numbers; images are in [0, 1]")
    if (largest := values.abs().max().item()) > LARGEST:
        raise ImageError(f"{name} holds numbers up to {largest:.4g}; images are in [0, 1]; divide by 255, or give uint8")
