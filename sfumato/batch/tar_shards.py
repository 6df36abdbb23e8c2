"""Tar shards in the layout of WebDataset: files of one sample have one name up to the first dot and lie one behind another.

    photos-000.tar: a.jpg a.cls b.jpg b.cls ─ members ─> photos-000.tar!a.jpg, photos-000.tar!b.jpg
    pack: the other files of each sample as they are, and the result in the place of each picture

https://github.com/webdataset/webdataset describes the layout. Shards are read and written by the standard library: an ordinary file may be
at any place in a shard; links, devices and folders are never unpacked.
"""

import contextlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from sfumato.batch import addresses
from sfumato.batch.addresses import ByteSource
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import DataError, ImageError
from sfumato.core.text import printable
from sfumato.io import formats

MARK = "!"
"""Stands between the path of a shard and the name of a member."""
_MOST = 10_000_000
"""Members of one shard at most."""


def is_shard(source: str) -> bool:
    """Whether the name is that of a tar. Compressed tars are no shards: a member in the middle could not be read alone."""
    return source.lower().endswith(".tar")


def is_member(source: str) -> bool:
    """Whether the source is a member of a tar."""
    shard, mark, name = source.rpartition(MARK)
    return bool(mark and name) and is_shard(shard)


def members(shard: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yields the source and the name of each picture in the shard at a path or an address: the name has no root and no `..`.

    Raises DataError if the shard cannot be read, or if it is damaged.
    """
    with _archive(shard) as archive:
        for info in _files(archive, shard):
            name = clean_name(info.name)
            if not name or any(part.startswith(".") for part in PurePosixPath(name).parts):
                continue
            with _reading(shard, OSError):
                file = archive.extractfile(info)
                kind = None if file is None else formats.identify(file.read(formats.START), name)
            if kind is not None and kind.read:
                yield f"{shard}{MARK}{info.name}", PurePosixPath(name)


@contextlib.contextmanager
def opened(source: str) -> Iterator[ByteSource]:
    """The bytes of a member. Raises ImageError if there is no such ordinary file in the tar, or if the tar cannot be read."""
    shard, _, name = source.rpartition(MARK)
    try:
        with _archive(shard) as archive:
            info = _index(archive, shard).get(name)
            file = None if info is None else archive.extractfile(info)
            if file is None:
                raise ImageError(f"{printable(source)}: is not in the tar any more")
            yield file
    except (DataError, tarfile.TarError, EOFError) as error:
        raise ImageError(f"{printable(source)}: cannot be read ({error})") from error


def pack(shard: str, results: Mapping[str, Path], out: Path) -> int:
    """Writes the tar `out`: the samples of `shard`, with the file `results[name]` in the place of the member called `name`.

    Other members keep their bytes; a picture without a result, and what is neither file nor picture, is left out together with its sample.
    The bytes depend on the content alone: times and owners are 0. Returns the number of results. Raises StorageError if `out` cannot be
    written, DataError for a damaged shard.
    """
    count = 0
    with _archive(shard) as archive, atomic_io.whole(out) as place, tarfile.open(place, "w", format=tarfile.PAX_FORMAT) as packed:
        infos = list(_files(archive, shard))
        done = {sample(name) for name in results}
        for info in infos:
            name = clean_name(info.name)
            if not name or sample(info.name) not in done:
                continue
            if (path := results.get(info.name)) is not None:
                with path.open("rb") as file:
                    _add(packed, str(PurePosixPath(name).with_suffix(path.suffix)), os.fstat(file.fileno()).st_size, file)
                count += 1
            else:
                with _reading(shard):  # an OSError may be one of writing
                    if (file := archive.extractfile(info)) is not None:
                        _add(packed, name, info.size, file)
    return count


def pack_results(results: Iterable[tuple[str, Path]], folder: Path, *, by: str, overwrite: bool = False) -> list[Path]:
    """Writes `NAME.tar` into `folder` for each shard `NAME.tar` that pictures came from, and returns the paths of the new shards.

    `results` are pairs of a picture's source and the path of its result. A file that is there already is replaced only if the same verb,
    `by`, has written it, or with `overwrite`. Raises SettingError for a shard that may not be replaced, and the errors of `pack`.
    """
    shards: dict[str, dict[str, Path]] = {}
    for source, path in results:
        if is_member(source):
            shard, _, name = source.rpartition(MARK)
            shards.setdefault(shard, {})[name] = path
    outs = {shard: folder / f"{PurePosixPath(shard).stem}.tar" for shard in shards}
    if len(set(outs.values())) < len(outs):
        raise DataError("two tar shards have the same name, and their results would be one file; rename one of them")
    with outputs.reserved(list(outs.values()), by=by, overwrite=overwrite, reads=[*shards]):
        for shard, out in outs.items():
            pack(shard, shards[shard], out)
    return list(outs.values())


def sample(name: str) -> str:
    """The key of the sample that a member belongs to: its name up to the first dot of the last part.

    >>> sample("train/0001.left.png"), sample("train/0001.json")
    ('train/0001', 'train/0001')
    """
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def clean_name(name: str) -> str:
    """The name of a member as a relative path, without `..`, `.` and root; empty if nothing remains.

    >>> clean_name("../../etc/passwd"), clean_name("./a/1.png"), clean_name("/")
    ('etc/passwd', 'a/1.png', '')
    """
    return "/".join(part for part in PurePosixPath(name.replace("\\", "/").replace("\0", "")).parts if part not in ("/", "//", ".", ".."))


def _add(packed: tarfile.TarFile, name: str, size: int, file: ByteSource) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    packed.addfile(info, cast(BinaryIO, file))


def _files(archive: tarfile.TarFile, shard: str) -> Iterator[tarfile.TarInfo]:
    """The ordinary files of a tar. Raises DataError where the tar is damaged."""
    with _reading(shard, OSError):
        for number, info in enumerate(archive):
            if number >= _MOST:
                raise DataError(f"{printable(shard)}: has more than {_MOST:,} members; split the tar")
            if info.isreg():
                yield info


@contextlib.contextmanager
def _reading(shard: str, *others: type[Exception]) -> Iterator[None]:
    """Turns the errors of a damaged tar, and `others`, into a DataError."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, *others) as error:
        raise DataError(f"{printable(shard)}: is damaged ({error}); write the tar again") from error


@contextlib.contextmanager
def _archive(shard: str) -> Iterator[tarfile.TarFile]:
    """An open tar at a path or an address. Raises DataError if it cannot be opened."""
    with contextlib.ExitStack() as stack:
        try:
            opening = addresses.opened(shard) if addresses.is_address(shard) else Path(shard).open("rb")  # noqa: SIM115
            file = cast(BinaryIO, stack.enter_context(opening))
            archive = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
        except (tarfile.TarError, EOFError, OSError, ImageError) as error:
            raise DataError(f"{printable(shard)}: is no tar that can be read ({error})") from error
        yield archive


def _index(archive: tarfile.TarFile, shard: str) -> Mapping[str, tarfile.TarInfo]:
    """Name to header of the ordinary files of a tar; a tar is read through once for all its members."""
    if addresses.is_address(shard):
        return {info.name: info for info in _files(archive, shard)}
    stat = os.stat(shard)
    return _local_index(shard, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _local_index(shard: str, size: int, changed: int) -> Mapping[str, tarfile.TarInfo]:
    with _archive(shard) as archive:
        return {info.name: info for info in _files(archive, shard)}
