"""Pictures of a list, a pattern, tar shards or an address as a collection with names.

    '@list.txt', 'photos/**/*.jpg', 'photos-*.tar', s3://bucket/photos/ ─ gathered ─> name and place of each picture ─ open_place ─> bytes

A local picture is called by its path below the deepest folder that all of them share, so that the names tell nothing of the folders above.
An object is called by its address.
"""

import contextlib
import glob
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sfumato.batch import addresses, sources, tar_shards
from sfumato.batch.items import fetched
from sfumato.core.errors import DataError
from sfumato.core.paths import last_name


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Pictures at places of any kind: files, members of tar shards, addresses."""

    name: str
    """Last name of the folder that all files share, or of the address."""
    folder: Path | None
    """That folder; None if no picture is a file of this machine, or one is a member of a shard or an object."""
    pictures: tuple[tuple[str, str], ...]
    """Name and place of each picture."""


def is_gathered(source: str | Path) -> bool:
    """Whether `source` is a list, a pattern, a tar shard or an address. What is there under the name itself is none, but for a shard.

    >>> is_gathered("@list.txt"), is_gathered("s3://bucket/photos"), is_gathered("photos/*.jpg"), is_gathered("photos.tar")
    (True, True, True, True)
    >>> is_gathered("photos"), is_gathered("photos.zip")
    (False, False)
    """
    text = str(source)
    if addresses.is_address(text):
        return True
    if os.path.lexists(Path(text).expanduser()):
        return tar_shards.is_shard(text) and Path(text).expanduser().is_file()
    return text.startswith("@") or tar_shards.is_shard(text) or glob.has_magic(text)


def gathered(source: str | Path) -> Gathered:
    """The pictures of `source`. Raises DataError if there are none, or if a list, a shard or an address cannot be read."""
    text = str(source)
    places = [place for place, _ in sources.listed([text])]
    if not places:
        raise DataError(f"{text}: there is no picture that can be read; check the name")
    local = [os.path.abspath(place) for place in places if not addresses.is_address(place)]
    shared = os.path.commonpath([os.path.dirname(_file(place)) for place in local]) if local else None
    names = iter([] if shared is None else [os.path.relpath(place, shared).replace(os.sep, "/") for place in local])
    absolute = iter(local)
    pictures = tuple((place, place) if addresses.is_address(place) else (next(names), next(absolute)) for place in places)
    only_files = len(local) == len(places) and not any(map(tar_shards.is_member, places))
    name = last_name(text.rsplit("://", maxsplit=1)[-1].rstrip("/")) if shared is None else last_name(shared)
    return Gathered(name=name, folder=Path(shared) if shared is not None and only_files else None, pictures=pictures)


def _file(place: str) -> str:
    """The file that holds the picture at a local place: the picture itself, or its shard."""
    return place.rpartition(tar_shards.MARK)[0] if tar_shards.is_member(place) else place


@contextlib.contextmanager
def open_place(place: str) -> Iterator[io.BufferedReader]:
    """The picture at a place, open for reading; of a remote one, a copy. Raises ImageError if it cannot be read, and OSError."""
    with fetched(place) as path, path.open("rb") as file:
        yield file


def index_name(source: str) -> str:
    """The name for an index of the pictures of `source`, without an ending.

    >>> index_name("photos/"), index_name("photos.zip"), index_name("@scans.txt"), index_name("s3://bucket/photos/*.jpg")
    ('photos', 'photos', 'scans', 'photos')
    >>> index_name("photos-*.tar")
    'pictures'
    """
    if not is_gathered(source):
        return Path(source).expanduser().resolve().name.removesuffix(".zip") or "pictures"
    parts = [part for part in re.split(r"[/\\]", source.partition("://")[2] or source) if part and not glob.has_magic(part)]
    return re.sub(r"\.(tar|txt|zip)$", "", parts[-1].removeprefix("@")) if parts else "pictures"


def existing_pictures(source: str | Path) -> None:
    """Checks that a list, or the shards or files of a pattern, are there. Objects are not looked for. Raises DataError."""
    text = str(source)
    if text.startswith("@") and not addresses.is_address(text):
        next(iter(sources.expanded([text])), None)
    elif not addresses.is_address(text) and not glob.glob(str(Path(text).expanduser()), recursive=True):
        raise DataError(f"no file matches {text!r}; check the name")
