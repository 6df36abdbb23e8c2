"""Results that can be saved: tensors, arrays and PIL images with a method `save`, which keeps the overwrite rule of the command line.

    result.save(path, overwrite=False) -> the paths that were written

A file that is there is replaced if the same verb wrote it and nobody has changed it since, or with `overwrite`; otherwise `save` raises
SettingError. The calculations that follow give plain tensors and arrays.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, SupportsIndex, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_pixels
from sfumato.io import files, metadata
from sfumato.io.channels import as_pixels
from sfumato.io.inputs import convert
from sfumato.io.metadata import Metadata

T = TypeVar("T")


@runtime_checkable
class OutputFile(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> object:
        """Takes the next bytes."""
        ...


def save_files(
    paths: Sequence[Path], write: Callable[[], object], *, by: str, overwrite: bool, reads: Sequence[str | Path | None] = ()
) -> list[Path]:
    """Calls `write` for the files at `paths` if the overwrite rule allows that; returns the paths. Raises as `outputs.reserved`."""
    advice = "choose another path, or give overwrite=True"
    with outputs.reserved(paths, by=by, overwrite=overwrite, reads=reads, advice=advice):
        write()
    return list(paths)


def save_picture(picture: Image.Image | np.ndarray, metadata: Metadata, path: Path, *, by: str, overwrite: bool) -> list[Path]:
    """Writes a picture with its `metadata`, by the overwrite rule; returns its path. Raises SettingError, ImageError and StorageError."""
    outputs.check_ending(path, files.FORMATS, "pictures")
    source = convert(picture)
    pixels, alpha = as_pixels(source.images, source.stored), None if source.alpha is None else as_pixels(source.alpha, source.stored)
    written = files.Picture(pixels=pixels, alpha=alpha, **vars(metadata))
    return save_files([path], lambda: files.write(path, written), by=by, overwrite=overwrite)


class TensorResult(Tensor):
    """A tensor with attributes of its own. Functions of PyTorch take it as a tensor and return plain tensors."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., T], types: Iterable[type], args: tuple[object, ...] = (), kwargs: Mapping[str, object] | None = None
    ) -> T:
        """As PyTorch's documentation has it for subclasses that are not to spread."""
        with torch._C.DisableTorchFunctionSubclass():  # pyright: ignore[reportPrivateUsage]
            return func(*args, **(kwargs or {}))

    def __deepcopy__(self, memo: dict[int, object]) -> "TensorResult":
        result = self.detach().clone().as_subclass(type(self))
        for name, value in vars(self).items():
            setattr(result, name, value)
        return result

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        """Pickled as a plain tensor: the attributes may hold a network."""
        return self.as_subclass(Tensor).__reduce_ex__(protocol)


class ImageTensor(TensorResult):
    """Images (n, c, h, w) or one image (c, h, w) in [0, 1]."""

    by: str = "save"
    """The verb that made them, by whose files the overwrite rule goes."""
    columns: int | None = None
    """Images in a row of the sheet; near square if None."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes one picture, or one sheet of all images, and returns its path. Raises SettingError for another ending."""
        target = Path(path)
        outputs.check_ending(target, files.FORMATS, "pictures")
        images = self.as_subclass(Tensor)
        sheet = to_pixels(images if images.ndim == 4 else images[None], columns=self.columns)
        return save_files([target], lambda: files.save_image(target, sheet), by=self.by, overwrite=overwrite)


class ImageArray(np.ndarray):
    """One picture as an array: (h, w) or (h, w, c)."""

    by: str = "save"

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the picture, of uint16 with 16 bits, and returns its path. Raises SettingError for another ending."""
        return save_picture(np.asarray(self), Metadata(), Path(path), by=self.by, overwrite=overwrite)

    def __array_wrap__(  # pyright: ignore[reportIncompatibleMethodOverride]  # a plain array, not one of this class
        self, array: np.ndarray, context: object = None, return_scalar: bool = False, /
    ) -> object:
        """Results of calculations are plain arrays and numbers."""
        plain = np.asarray(array)
        return plain[()] if return_scalar or plain.ndim == 0 else plain


class SavableImage(Image.Image):
    """A PIL image whose `save` keeps the overwrite rule."""

    by: str = "save"

    def save(  # pyright: ignore[reportIncompatibleMethodOverride]  # unlike Pillow's it returns the path
        self, fp: str | Path | OutputFile, format: str | None = None, *, overwrite: bool = False, **params: object
    ) -> list[Path] | None:
        """Writes the picture with its profile, resolution and EXIF, as the command line does, and returns its path in a list.

        With a format or parameters of Pillow's, Pillow encodes it. To an open file Pillow writes as ever. Raises SettingError for a file
        that is not to be replaced and for an ending that is not known.
        """
        if not isinstance(fp, str | Path):
            return super().save(cast(IO[bytes], fp), format, **params)
        path = Path(fp)
        if format is None and not params:
            return save_picture(self, metadata.of_image(self), path, by=self.by, overwrite=overwrite)
        encoded = io.BytesIO()
        kind = format or Image.registered_extensions().get(path.suffix.lower())
        if kind is None:
            raise SettingError(f"{path}: no picture can be written as {path.suffix!r}; give a format")
        super().save(encoded, kind, **params)
        return save_files([path], lambda: atomic_io.write(path, encoded.getvalue()), by=self.by, overwrite=overwrite)
