"""Compression of picture files, and the way back: one file, many, a folder or a glob, with a manifest."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sfumato.batch.manifest import Entry
from sfumato.batch.run import Work, run_batch
from sfumato.batch.sources import gather, passed_over, unique_names
from sfumato.compression.compress import compressed, opened_codec
from sfumato.compression.decompress import decompressed
from sfumato.compression.request import CompressionRequest
from sfumato.compression.source import source_of
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import CheckpointError, DataError, FormatError, ImageError, SettingError
from sfumato.core.pillow_format import ENDING, MAGIC
from sfumato.io import files, formats
from sfumato.io.headers import Headers
from sfumato.models.roles.codec import Codec
from sfumato.store import weights
from sfumato.store.loaded import Model

LARGEST_FILE = 1 << 30
"""Bytes of the largest file that is read."""
OnProgress = Callable[[Entry, int, int], None]
OnDamage = Callable[[Path, tuple[str, ...]], None]


def compress_pictures(
    sources: Sequence[str | Path],
    out: str | Path,
    request: CompressionRequest,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> list[Entry]:
    """Compresses every picture of `sources` into the folder `out`, or one picture into the file `out`, whose name ends in .sfm.

    Returns an entry for each picture; `on_progress` is called with it, its number and their count. A file is replaced only if an earlier
    run made it, or with `overwrite`. Raises SettingError for an invalid request, DataError without a picture, StorageError if `out` cannot
    be written; all other errors are in the entry of their picture.
    """
    request.check()
    headers = Headers()
    files_made = _Places(sources, Path(out), headers, endings=(ENDING,), ending=ENDING)
    if not files_made.placed:
        others = formats.summary(passed_over(sources).values())
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")
    facts = {name: value for name, value in vars(request).items() if name != "model"} | _model_facts(request.model)
    work = functools.partial(_compress, request=request, network=_Network(request.model))
    return files_made.run(work, facts, overwrite=overwrite, on_progress=on_progress)


def decompress_files(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    model: Model,
    overwrite: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_damage: OnDamage = lambda *_: None,
) -> list[Entry]:
    """Decompresses every .sfm file of `sources` into the folder `out` as PNG, or one file into the picture `out`.

    As `compress_pictures`. `on_damage` is called with the path of a file that is not whole and with sentences that say what is missing.
    """
    files_made = _Places(sources, Path(out), _CompressedFiles(), endings=tuple(files.FORMATS), ending=".png")
    if not files_made.placed:
        raise DataError(f"no {ENDING} file in {', '.join(map(str, sources))}; `sfumato compress` makes such files")
    facts = _model_facts(model)
    work = functools.partial(_decompress, network=_Network(model), name=str(model), on_damage=on_damage)
    return files_made.run(work, facts, overwrite=overwrite, on_progress=on_progress)


def read_file(path: Path) -> bytes:
    """The bytes of a compressed file. Raises ImageError if it cannot be read or is too large."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ImageError(f"{path}: is larger than {LARGEST_FILE >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


class _CompressedFiles(Headers):
    """Knows compressed files, and no others, for readable."""

    def readable(self, path: Path) -> bool:
        """Whether the file at `path` has the ending, or begins like one."""
        if not path.is_file():
            return False
        if path.suffix.lower() == ENDING:
            return True
        try:
            with path.open("rb") as file:
                return file.read(len(MAGIC)) == MAGIC
        except OSError:
            return False


class _Places:
    """The files of a batch with the places of their results."""

    def __init__(self, sources: Sequence[str | Path], out: Path, headers: Headers, *, endings: tuple[str, ...], ending: str) -> None:
        """Raises SettingError for several files and the name of one, and StorageError if nothing can be written at `out`."""
        if not sources:
            raise SettingError("no file was named; give files, folders or globs")
        self.alone, self.out = outputs.is_file_name(out, endings), out
        pairs = unique_names(gather(sources, exclude=None if self.alone else out, headers=headers), ending=ending, headers=headers)
        if self.alone and len(pairs) > 1:
            raise SettingError(f"{out} is one file and there are {len(pairs)} to make; give a folder with --out")
        if self.alone:
            outputs.check(out)
        else:
            outputs.check_folder(out)
        self.placed = [(path, out if self.alone else out / name) for path, name in pairs]

    def run(self, work: Work, facts: dict[str, object], *, overwrite: bool, on_progress: OnProgress) -> list[Entry]:
        """The entries of all files after their work."""
        manifest = None if self.alone else self.out
        return run_batch(self.placed, work, manifest=manifest, request=facts, overwrite=overwrite, on_progress=on_progress)


class _Network:
    """A codec that is opened when the first file needs it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @functools.cached_property
    def opened(self) -> Codec:
        """Its network."""
        return opened_codec(self.model).network


def _compress(path: Path, target: Path, check: atomic_io.Check, *, request: CompressionRequest, network: _Network) -> str:
    source = source_of(path, keep_metadata=request.keep_metadata)
    with naming(path):
        data = compressed(source, network.opened, request)
    atomic_io.write(target, data, check=check)
    h, w = source.size
    return f"{w} x {h}, {len(data):,} bytes, {8 * len(data) / (h * w):.3f} bits per pixel"


def _decompress(path: Path, target: Path, check: atomic_io.Check, *, network: _Network, name: str, on_damage: OnDamage) -> str:
    with naming(path):
        result = decompressed(read_file(path), network.opened, name=name)
    files.write(target, result.picture, check=check)
    if result.damage:
        on_damage(path, result.damage)
    h, w = result.picture.pixels.shape[:2]
    return f"{w} x {h}, quality {result.quality}{', damaged' if result.damage else ''}"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the name of a file before the message of an error about it."""
    try:
        yield
    except (SettingError, FormatError, ImageError, CheckpointError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _model_facts(model: Model) -> dict[str, object]:
    """What results depend on of a codec. Raises UnknownNameError if there is none of that name."""
    if isinstance(model, str | Path):
        return {"codec": atomic_io.digest(weights.find(model))}
    return {"codec": opened_codec(model).network.fingerprint.hex()}
