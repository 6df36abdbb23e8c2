"""Which picture files are meant by files, folders and globs, and what the result of each is called."""

import glob
import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sfumato.core.errors import DataError
from sfumato.io import files, formats
from sfumato.io.formats import Kind
from sfumato.io.headers import Headers


def gather(sources: Sequence[str | Path], *, exclude: Path | None = None, headers: Headers | None = None) -> Iterator[tuple[Path, Path]]:
    """Every picture file, and the name it will have below the output folder: its own, or its path below the folder that was given.

    What lies below the folder `leaving_out`, beside others, was written there by us. `headers` are those of the run. Raises DataError for
    what is neither a file nor a folder nor a glob that matches anything.
    """
    away, headers = exclude.resolve() if exclude else None, headers or Headers()
    for source in sources:
        if not str(source):
            raise DataError("no picture was named, but nothing ('')")
        try:
            path = Path(source).expanduser()
            if path.is_dir():
                inside = (p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path)))
                pairs = [(p, p.relative_to(path)) for p in inside if headers.readable(p)]
            elif path.is_file():
                yield path, Path(path.name)  # wherever it lies: it was named by hand
                continue
            else:
                matches = [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
                if not matches:
                    raise DataError(f"no file or folder {str(source)!r}")
                pairs = [(p, Path(p.name)) for p in matches if headers.readable(p)]
        except (OSError, RuntimeError) as error:
            raise DataError(f"{str(source)[:200]!r} cannot be looked for ({error})") from error
        # If all that was named lies there, it was meant.
        kept = [pair for pair in pairs if away is None or not pair[0].resolve().is_relative_to(away)]
        yield from kept or pairs


def passed_over(sources: Sequence[str | Path], *, taken: Collection[Path] = ()) -> dict[Path, Kind]:
    """Each picture, film and broken link in the folders and globs among `sources` that `gather` does not give, with its kind.

    What `gather` gave and is `taken` is not looked at again.
    """
    inside: list[Path] = []
    for source in sources:
        if (path := Path(source).expanduser()).is_dir():
            inside += [p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path))]
        elif not path.is_file():
            inside += [p for match in sorted(glob.glob(str(path), recursive=True)) if not (p := Path(match)).is_dir()]
    return {path: kind for path in inside if path not in taken and (kind := formats.passed_over(path)) is not None}


def unique_names(
    pictures_and_names: Iterator[tuple[Path, Path]], *, ending: str | None = None, headers: Headers | None = None
) -> list[tuple[Path, Path]]:
    """Each picture once, with a name to be written under that no other has: if need be with its ending, its folder's name, or a number.

    A name that can be written keeps its ending, unless all are to have the same `ending`. `headers` are those of the run.
    """
    headers = headers or Headers()

    def written(path: Path, name: Path) -> Path:
        if ending:
            return name.with_suffix(ending)
        # The name itself if its format can be written, else with the ending that suits the file.
        return name if name.suffix.lower() in files.FORMATS else formats.output_name(headers.kind(path), name)

    pictures = list({os.path.abspath(path): (path, name) for path, name in pictures_and_names}.values())
    names: dict[Path, Path] = {}
    taken = set[Path]()
    # Those that can keep their name choose first.
    for path, name in sorted(pictures, key=lambda pair: pair[1] != written(*pair)):
        simple = written(path, name)
        choices = [simple, *([simple.with_name(f"{name.name}{simple.suffix}")] if name != simple else [])]
        choices.append(Path(path.absolute().parent.name) / simple)
        numbered = (simple.with_stem(f"{simple.stem}-{i}") for i in range(2, len(pictures) + 2))
        names[path] = next(choice for choice in itertools.chain(choices, numbered) if choice not in taken)
        taken.add(names[path])
    return [(path, names[path]) for path, _ in pictures]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
