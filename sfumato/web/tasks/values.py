"""Values of arguments, with the types that tasks expect, and previews of pictures."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json
from sfumato.core.tensors import Images, to_bytes
from sfumato.core.text import file_names
from sfumato.web.limits import Limits, checked_pictures

on_preview: ContextVar[Callable[[str], None]] = ContextVar("on_preview", default=lambda _: None)
"""Called with the path of a picture of the work so far."""
SIDE = 1400
"""Side of a preview in pixels, of a picture that is larger."""


def number(arguments: Mapping[str, Json], name: str) -> float:
    """The number called `name`. Raises SettingError if there is none."""
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{name} = {value!r} is no number")
    return value


def whole(arguments: Mapping[str, Json], name: str) -> int:
    """The whole number called `name`. Raises SettingError if there is none."""
    value = number(arguments, name)
    if not abs(value) <= 2**53 or int(value) != value:
        raise SettingError(f"{name} = {value:g} is no whole number")
    return int(value)


def words(arguments: Mapping[str, Json], name: str) -> list[str]:
    """The texts in the list called `name`."""
    value = arguments.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def word(arguments: Mapping[str, Json], name: str) -> str:
    """The text called `name`; empty if there is none."""
    value = arguments.get(name)
    return value if isinstance(value, str) else ""


def inputs(pictures: Sequence[str], folder: Path) -> list[Path]:
    """Copies of uploaded pictures in a folder of the job, under names that are safe and different.

    The names matter: those of uploads are chosen by others, and a path with a star or an archive would stand for other pictures.
    """
    paths = checked_pictures(pictures, Limits())
    stems = file_names([path.stem for path in paths])
    place = folder / "in"
    place.mkdir()
    copies = []
    for path, stem in zip(paths, stems, strict=True):
        copies.append(place / f"{stem.translate(_PATTERN)}{path.suffix.lower()}")
        shutil.copyfile(path, copies[-1])
    return copies


_PATTERN = str.maketrans("*?[]@", "-----")


def as_image(pixels: np.ndarray) -> Image.Image:
    """Pixels (h, w, c) of 8 bits as an image that browsers show."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[..., :3]))


def opened(path: Path) -> Image.Image:
    """The upright picture in a file, in grey or colour with 8 bits. Raises ImageError."""
    return as_image(sf.read(path).in_8_bits().numpy())


def save_preview(image: Image.Image, path: Path, *, side: int = SIDE, size: tuple[int, int] | None = None) -> str:
    """Writes a preview as PNG: at `size` (width, height), or reduced to `side`. Returns its path."""
    scale = min(1.0, side / max(image.size))
    target = size or (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shown = image if target == image.size else image.resize(target, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    shown.save(path, "PNG", compress_level=1)
    return str(path)


def from_tensor(images: Images) -> Image.Image:
    """The first of `images` (n, c, h, w) in [0, 1]; without opacity."""
    pixels = to_bytes(images[:1].detach().cpu().float())[0].permute(1, 2, 0).numpy()
    return as_image(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1])


def enlarged(image: Image.Image, *, least: int = 384) -> Image.Image:
    """A small image with each pixel so many pixels wide that a side has at least `least`; a larger one as it is."""
    times = max(1, -(-least // max(image.size)))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
