"""Where the images of an index lie: the files of a folder or a zip, a list, a pattern, tar shards, an address, or a data set in memory."""

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from sfumato.core.errors import DataError
from sfumato.core.paths import last_name
from sfumato.core.tensors import Crop
from sfumato.data.dataset import Dataset
from sfumato.data.listing import Entry, listed
from sfumato.data.load import load
from sfumato.data.public_sets import NAMES
from sfumato.data.scenes import existing_data
from sfumato.embeddings.gathered import Gathered, existing_pictures, gathered, is_gathered, open_place
from sfumato.io import archive, decode
from sfumato.io.as_files import as_files
from sfumato.io.decode import EightBit
from sfumato.io.inputs import PictureInput

Source: TypeAlias = str | Path | Dataset | Sequence[PictureInput]
"""A folder, a zip, a list in a file, a pattern, tar shards, an address, the name of a data set, a data set, or a list of pictures."""
Place: TypeAlias = Source | Gathered
"""A source, or what a list, a pattern, shards or an address stand for, as other processes get it."""


@dataclass(frozen=True)
class FileSource:
    """The picture files of a folder, a zip or a list, or at places of any kind."""

    name: str
    entries: Sequence[Entry]
    folder: Path | None = None
    """The folder of all pictures; None for a zip, for pictures in memory, in tar shards and at addresses."""

    @functools.cached_property
    def paths(self) -> Sequence[str]:
        """The path of each picture below the folder, with forward slashes; of a list its own path, or its name."""
        return [entry.name for entry in self.entries]

    def digest(self, i: int) -> bytes:
        """SHA-256 of the bytes of the file, 32 bytes. Raises ImageError."""
        return self.entries[i].digest()

    def length(self, i: int) -> int:
        """Bytes of the file. Raises ImageError."""
        with decode.reading(self.entries[i].name), self.entries[i].open() as file:
            return file.seek(0, os.SEEK_END)

    def content(self, i: int) -> bytes:
        """The bytes of the file. Raises ImageError."""
        with decode.reading(self.entries[i].name), self.entries[i].open() as file:
            return file.read()

    def file_name(self, i: int) -> str:
        """Its path as the name of one file."""
        return self.entries[i].name.replace("/", "-")

    def original(self, i: int) -> Path | None:
        """The file itself; None in a zip and in a list."""
        return None if self.folder is None else self.folder / self.entries[i].name

    def pixels(self, i: int, *, channels: int, size: tuple[int, int] | None, crop: Crop) -> EightBit:
        """The pixels (h, w, c) of the upright picture in the file, as `decode.decode` gives them. Raises ImageError."""
        return decode.decode(self.entries[i].open, self.entries[i].name, channels=channels, size=size, crop=crop)


@dataclass(frozen=True)
class DatasetSource:
    """The images of a data set."""

    data: Dataset

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.data.name

    @functools.cached_property
    def paths(self) -> Sequence[str]:
        """The number of each image."""
        return [str(i) for i in range(len(self.data))]

    def digest(self, i: int) -> bytes:
        """SHA-256 of shape and pixels, 32 bytes."""
        pixels = self.data.pixels[i].contiguous()
        return hashlib.sha256(str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).digest()

    def length(self, i: int) -> int:
        """Bytes of the pixels."""
        return self.data.pixels[i].numel()

    def content(self, i: int) -> bytes:
        """The image as PNG; its first channel alone if PNG has no image of so many."""
        own = self.data.pixels[i].permute(1, 2, 0).contiguous().numpy()
        encoded = io.BytesIO()
        Image.fromarray(own[..., 0] if own.shape[2] not in (2, 3, 4) else own).save(encoded, "PNG")
        return encoded.getvalue()

    def file_name(self, i: int) -> str:
        """Its number as the name of a file."""
        return f"{i:05d}.png"

    def original(self, i: int) -> None:
        """None: there is no file."""
        return

    def pixels(self, i: int, *, channels: int, size: tuple[int, int] | None, crop: Crop) -> EightBit:
        """The pixels of the image, resized as those of files are."""
        own = self.data.pixels[i].permute(1, 2, 0).contiguous().numpy()
        if own.shape == (*(size or own.shape[:2]), channels):
            return own
        return decode.prepare(Image.fromarray(own.squeeze(-1) if own.shape[2] == 1 else own), channels=channels, size=size, crop=crop)


ImageSource: TypeAlias = FileSource | DatasetSource
"""Images with names, which are read one by one."""


def absolute(source: Source) -> Place:
    """The source as processes in other folders find it: a path from the root; a data set, its name and a list are unchanged."""
    if not isinstance(source, str | Path) or source in NAMES:
        return source
    if is_gathered(source):
        return gathered(source)
    return Path(source).expanduser().absolute()


def existing_source(source: str | None) -> str | None:
    """The file or place to read for `source`, or None for none. Raises DataError if there is nothing there; objects are not looked for."""
    if source is None or source in NAMES or not is_gathered(source):
        return existing_data(source)
    existing_pictures(source)
    return source.removeprefix("@")


@contextlib.contextmanager
def opened(source: Place) -> Iterator[ImageSource]:
    """Yields the images of `source`, which can be read inside the `with` only.

    A string that is the name of a data set takes precedence over a folder of that name. A picture of a list that is no path is called
    `picture-1`, `picture-2`, ..., by its place. Raises DataError for a source that is not there, for a folder, a zip or a list without
    pictures, and for one picture; ImageError as `convert` for a list.
    """
    if isinstance(source, Dataset):
        yield DatasetSource(source)
        return
    if isinstance(source, Gathered):
        entries = [Entry(name, functools.partial(open_place, place)) for name, place in source.pictures]
        yield FileSource(source.name, entries, source.folder)
        return
    if not isinstance(source, str | Path):
        if isinstance(source, PictureInput):
            raise DataError("one picture is no collection; give a list of several, or a folder")
        if not source:
            raise DataError("an empty list has no pictures; give several pictures")
        with as_files(source) as paths:
            places = {name: Path(path).expanduser() for path, name in paths.items()}
            yield FileSource("pictures", [Entry(name, functools.partial(place.open, "rb")) for name, place in places.items()])
        return
    path = Path(source).expanduser()
    named = isinstance(source, str) and source in NAMES
    if not named and is_gathered(source):
        with opened(gathered(source)) as images:
            yield images
        return
    if not named and (path.is_dir() or (path.is_file() and archive.is_zip(path))):
        with listed(path) as listing:
            if not listing.pictures:
                words = "; ".join(filter(None, (f"{source}: there is no picture that can be read", listing.passed_over())))
                raise DataError(f"{words}; give a folder or a .zip of pictures")
            yield FileSource(last_name(path.resolve()), listing.pictures, path.resolve() if path.is_dir() else None)
        return
    if not named and path.is_file() and path.suffix.lower() in decode.SUFFIXES:
        raise DataError(f"{path}: one picture is no collection; give the folder that it lies in, or a .zip")
    yield DatasetSource(load(source, part="all"))
