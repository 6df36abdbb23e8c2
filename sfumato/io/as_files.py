"""Pictures of any kind as files, for verbs that work on files: pictures in memory are written into a temporary folder."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from sfumato.io import files, formats
from sfumato.io.channels import as_pixels
from sfumato.io.decode import unknown_kind
from sfumato.io.inputs import BinaryFile, PictureInput, convert, opened

Sources: TypeAlias = PictureInput | Sequence[PictureInput]
"""A path, a glob, bytes, an open file, a PIL image, an array, a tensor or a `Picture`; or several of them."""
_ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif", "HEIF": ".heic"}
"""Usual endings of formats that are not called as their ending is."""


@contextlib.contextmanager
def as_files(sources: Sources, *, noun: str = "picture") -> "Iterator[dict[str | Path, str]]":
    """The path of each of `sources`, in order, with its name for people; inside the `with` there is a file for each source that has none.

    Bytes and open files are written as they are, so that their metadata and their format are kept. Other kinds become a PNG. The names are
    `picture-1`, `picture-2`, ..., by the place in `sources`; an open file that has a name keeps it. Raises ImageError as `convert`.
    """
    every = [sources] if isinstance(sources, PictureInput) else list(sources)
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        paths: dict[str | Path, str] = {}
        for i, source in enumerate(every, 1):
            path = source if isinstance(source, str | Path) else _written(source, Path(folder) / str(i), f"{noun}-{i}", noun)
            paths[path] = str(path) if path is source else Path(path).name
        yield paths


def _written(source: PictureInput, folder: Path, name: str, noun: str) -> Path:
    """A file in the new `folder`, with the content of a `source` that is no path."""
    folder.mkdir()
    if isinstance(source, bytes | bytearray | BinaryFile):
        with opened(source, noun=noun) as (path, file):
            content = file.read()
        kind = formats.by_content(content[: formats.START], path.name)
        if kind is None:
            raise unknown_kind(str(path))
        ending = _ENDINGS.get(kind.name, f".{kind.name.lower()}")
        target = folder / (path.name if path.suffix else f"{name}{ending}")
        target.write_bytes(content)
        return target
    if isinstance(source, files.Picture):
        picture = source
    else:
        converted = convert(source, lossless=True, noun=noun)
        alpha = None if converted.alpha is None else as_pixels(converted.alpha, converted.stored)
        picture = files.Picture(pixels=as_pixels(converted.images, converted.stored), alpha=alpha)
    files.write(folder / f"{name}.png", picture)
    return folder / f"{name}.png"
