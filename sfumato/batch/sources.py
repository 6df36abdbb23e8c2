"""Pictures in files, folders, globs, lists, tar shards and at addresses, and the name of each result.

| source | pictures |
|---|---|
| `photo.jpg`, `photos/`, `photos/**/*.jpg` | a file, all files of a folder, all files that match |
| `@list.txt` | the sources in a text file, one a line; empty lines and lines that begin with `#` are left out |
| `photos-000.tar`, `photos-*.tar` | the pictures of tar shards (`tar_shards.py`) |
| `s3://bucket/photos/`, `s3://bucket/*.tar` | objects at addresses (`addresses.py`) |
"""

import glob
import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sfumato.batch import addresses, tar_shards
from sfumato.core.errors import DataError
from sfumato.io import files, formats
from sfumato.io.formats import Kind
from sfumato.io.headers import Headers

_LIST = "@"


def listed(
    sources: Sequence[str | Path], *, exclude: Path | None = None, ending: str | None = None, headers: Headers | None = None
) -> list[tuple[str, Path]]:
    """Each picture of every kind of source once, with a unique name for its result relative to the output folder.

    A picture is a path, a member of a tar, or an address. Pictures of a shard lie in a folder with the name of the shard. The arguments are
    those of `gather` and `unique_names`. Raises DataError for a source that is not there or that cannot be read.
    """
    remote: dict[Path, str] = {}
    headers = headers or Headers()

    def pairs() -> Iterator[tuple[Path, Path]]:
        for source in expanded(sources):
            if not _is_special(source):
                yield from gather([source], exclude=exclude, headers=headers)
                continue
            for picture, name in _special(str(source)):
                remote[Path(picture)] = picture
                yield Path(picture), name

    return [(remote.get(path) or str(path), name) for path, name in unique_names(pairs(), ending=ending, headers=headers)]


def expanded(sources: Sequence[str | Path]) -> Iterator[str | Path]:
    """Yields the sources, and in the place of each list those that it names. Raises DataError for a list that cannot be read."""
    for source in sources:
        text = str(source)
        if not text.startswith(_LIST) or os.path.lexists(text):
            yield source
            continue
        try:
            with open(text.removeprefix(_LIST), encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except (OSError, ValueError) as error:
            raise DataError(f"{text}: the list cannot be read ({getattr(error, 'strerror', None) or error}); check the name") from error
        yield from (line for line in lines if line and not line.startswith("#"))


def _is_special(source: str | Path) -> bool:
    text = str(source)
    return addresses.is_address(text) or (tar_shards.is_shard(text) and not Path(text).expanduser().is_dir())


def _special(source: str) -> Iterator[tuple[str, Path]]:
    """The pictures at an address or in shards, with their names."""
    if not addresses.is_address(source):
        path = Path(source).expanduser()
        shards = [str(path)] if path.is_file() else sorted(glob.glob(str(path), recursive=True))
        if not shards:
            raise DataError(f"no file or folder {source!r}; check the name")
        for shard in shards:
            yield from _members(shard)
        return
    objects = addresses.listed(source)
    for address in objects:
        if tar_shards.is_shard(address):
            yield from _members(address)
        elif len(objects) == 1 or ((kind := formats.ENDINGS.get(Path(address).suffix.lower())) is not None and kind.read):
            yield address, Path(tar_shards.clean_name(addresses.relative(address, source)))


def _members(shard: str) -> Iterator[tuple[str, Path]]:
    for member, name in tar_shards.members(shard):
        yield member, Path(Path(shard).stem) / name


def gather(sources: Sequence[str | Path], *, exclude: Path | None = None, headers: Headers | None = None) -> Iterator[tuple[Path, Path]]:
    """Yields each picture file with its name relative to the output folder: the file's name, or its path below the source folder.

    Files below the folder `exclude` are results of earlier runs and left out, unless a source has no others. `headers` is the cache of
    the run. Raises DataError for a source that is neither a file nor a folder, nor a glob with a match.
    """
    excluded, headers = exclude.resolve() if exclude else None, headers or Headers()
    folders: dict[Path, bool] = {}

    def below(path: Path) -> bool:
        """Whether a file lies below the excluded folder; each folder is looked up once."""
        assert excluded is not None
        if path.is_symlink():
            return path.resolve().is_relative_to(excluded)
        if (parent := path.parent) not in folders:
            folders[parent] = parent.resolve().is_relative_to(excluded)
        return folders[parent]

    for source in sources:
        if not str(source):
            raise DataError("the name of a picture is empty (''); give a file, a folder or a pattern")
        try:
            path = Path(source).expanduser()
            if path.is_dir():
                inside = ((p, p.relative_to(path)) for p in sorted(path.rglob("*")))
                pairs = [(p, name) for p, name in inside if not _hidden(name) and headers.readable(p)]
            elif path.is_file():
                yield path, Path(path.name)  # also below `exclude`: the file was named explicitly
                continue
            else:
                matches = [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
                if not matches:
                    raise DataError(f"no file or folder {str(source)!r}; check the name")
                pairs = [(p, Path(p.name)) for p in matches if headers.readable(p)]
        except (OSError, RuntimeError) as error:
            raise DataError(f"{str(source)[:200]!r} cannot be looked for ({error}); check the name") from error
        # A source whose files all lie below `exclude` was given on purpose.
        kept = [pair for pair in pairs if excluded is None or not below(pair[0])]
        yield from kept or pairs


def passed_over(sources: Sequence[str | Path], *, taken: Collection[Path] = ()) -> dict[Path, Kind]:
    """Path to kind of each picture, film and broken link in the folders and globs among `sources` that cannot be read.

    Files in `taken`, such as those that `gather` has yielded, are not opened again.
    """
    inside: list[Path] = []
    for source in expanded(sources):
        if _is_special(source):
            continue
        if (path := Path(source).expanduser()).is_dir():
            inside += [p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path))]
        elif not path.is_file():
            inside += [p for match in sorted(glob.glob(str(path), recursive=True)) if not (p := Path(match)).is_dir()]
    return {path: kind for path in inside if path not in taken and (kind := formats.passed_over(path)) is not None}


def unique_names(
    pictures_and_names: Iterator[tuple[Path, Path]], *, ending: str | None = None, headers: Headers | None = None
) -> list[tuple[Path, Path]]:
    """Each picture once, with a unique name for its result. Equal names are extended by their old ending, their folder or a number.

    A name keeps its ending if pictures can be written in that format, unless `ending` is given for all. `headers` is the cache of the run.
    """
    headers = headers or Headers()

    def written(path: Path, name: Path) -> Path:
        if ending:
            return name.with_suffix(ending)
        # An ending of a format that cannot be written is replaced by the one for the format of the content.
        return name if name.suffix.lower() in files.FORMATS else formats.output_name(headers.kind(path), name)

    def others(path: Path, name: Path, simple: Path) -> Iterator[Path]:
        """Names for a picture whose first name is taken."""
        if name != simple:
            yield simple.with_name(f"{name.name}{simple.suffix}")
        yield Path(path.absolute().parent.name) / simple
        yield from (simple.with_stem(f"{simple.stem}-{i}") for i in itertools.count(2))

    pictures = list({os.path.abspath(path): (path, name) for path, name in pictures_and_names}.values())
    names: dict[Path, Path] = {}
    taken = set[Path]()
    # Pictures that can keep their names choose first.
    for path, name in sorted(pictures, key=lambda pair: pair[1] != written(*pair)):
        simple = written(path, name)
        names[path] = simple if simple not in taken else next(each for each in others(path, name, simple) if each not in taken)
        taken.add(names[path])
    return [(path, names[path]) for path, _ in pictures]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
