"""Compression of picture files, and the way back: one file, many, a folder or a glob, with a manifest."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item, keep_originals
from sfumato.batch.manifest import Entry
from sfumato.batch.sources import listed, passed_over
from sfumato.batch.task import Convert, FileTask, Outcome, Settle
from sfumato.batch.workers import Workers
from sfumato.compression import container
from sfumato.compression.compress import OpenCodec, compressed, opened_codec
from sfumato.compression.decompress import decompressed
from sfumato.compression.reading import naming, read_file
from sfumato.compression.request import DEFAULT_MODEL, CompressionRequest
from sfumato.compression.source import source_of
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import DataError, FormatError, SettingError
from sfumato.core.pillow_format import ENDING, MAGIC
from sfumato.core.tensors import size_text
from sfumato.io import files, formats
from sfumato.io.headers import Headers
from sfumato.store import weights
from sfumato.store.loaded import Model

_HEADER = 64
"""Bytes that hold the header of every file."""
OnProgress = Callable[[Entry, int, int], None]


def compress_pictures(
    sources: Sequence[str | Path],
    out: str | Path,
    request: CompressionRequest,
    *,
    overwrite: bool = False,
    workers: Workers | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> list[Entry]:
    """Compresses every picture of `sources` into the folder `out`, or one picture into the file `out`, whose name ends in .sfm.

    Returns an entry for each picture; `on_progress` is called with it, its number and their count. A file is replaced only if an earlier
    run made it, or with `overwrite`. `workers` share the pictures, by default this process does them alone. Raises SettingError for an
    invalid request, DataError without a picture, StorageError if `out` cannot be written, ProcessError if the workers cannot work; all
    other errors are in the entry of their picture.
    """
    request.check()
    headers = Headers()
    workers = workers or Workers()
    workers.check()
    files_made = _Places(sources, Path(out), workers, headers, endings=(ENDING,), ending=ENDING)
    if not files_made.count:
        others = formats.summary(passed_over(sources).values())
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read{'; ' if others else ''}{others}")
    facts = {name: value for name, value in vars(request).items() if name != "model"}
    codec = _opener(request.model)
    if request.needs_codec:
        facts |= _model_facts(request.model)
        files_made.check_once(codec)
    own = codec if workers.alone else None
    return files_made.run(_Compression(request=facts, overwrite=overwrite, settings=request, codec=own), on_progress)


def decompress_files(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    model: Model,
    overwrite: bool = False,
    workers: Workers | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> list[Entry]:
    """Decompresses every .sfm file of `sources` into the folder `out` as PNG, or one file into the picture `out`.

    As `compress_pictures`. The `damage` of an entry says what is missing in a file that is not whole; it is empty for a whole one.
    """
    workers = workers or Workers()
    workers.check()
    files_made = _Places(sources, Path(out), workers, _CompressedFiles(), endings=tuple(files.FORMATS), ending=".png")
    if not files_made.count:
        raise DataError(f"no {ENDING} file in {', '.join(map(str, sources))}; `sfumato compress` makes such files")
    codec, facts = _opener(model), dict[str, object]()
    if any(_needs_codec(Path(item.source)) for item in files_made.items):
        facts = _model_facts(model)
        files_made.check_once(codec)
    elif isinstance(model, str | Path) and model != DEFAULT_MODEL:
        weights.find(model)  # what was named must be there
    own = codec if workers.alone else None
    return files_made.run(_Decompression(request=facts, overwrite=overwrite, model=model, codec=own), on_progress)


def _needs_codec(path: Path) -> bool:
    """Whether the file at `path` needs a codec: those of `--effort max` and files of another format do not."""
    try:
        with path.open("rb") as file:
            return not container.read_header(file.read(_HEADER)).own_networks
    except (OSError, FormatError):
        return False


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

    def __init__(
        self, sources: Sequence[str | Path], out: Path, workers: Workers, headers: Headers, *, endings: tuple[str, ...], ending: str
    ) -> None:
        """Raises SettingError for several files and the name of one, and StorageError if nothing can be written at `out`."""
        if not sources:
            raise SettingError("no file was named; give files, folders or globs")
        self.alone, self.out, self.workers = outputs.is_file_name(out, endings), out, workers
        pairs = listed(sources, exclude=None if self.alone else out, headers=headers, ending=ending)
        self.count = len(pairs)
        if self.alone and len(pairs) > 1:
            raise SettingError(f"--out {out} is one file, and there are {len(pairs)} files to read; name a folder instead")
        if self.alone:
            outputs.check(out)
        else:
            outputs.check_folder(out)
        placed = [Item(source=source, target=out if self.alone else out / name) for source, name in pairs if workers.has(name)]
        self.items, self.writes = keep_originals(placed)

    def check_once(self, codec: OpenCodec) -> None:
        """Opens the codec before the work on several files: a model that is no codec is one error, and not one of each file."""
        if self.count > 1:
            codec()

    def run(self, task: FileTask, on_progress: OnProgress) -> list[Entry]:
        """The entries of all files after their work."""
        folder = self.out.parent if self.alone else self.out
        with held(folder, task.request, self.workers, writes=self.writes and not self.alone) as manifest:
            return run_batch(task, self.items, manifest, workers=self.workers, on_progress=on_progress)


def _opener(model: Model) -> OpenCodec:
    """A codec that is opened when the first file needs it."""
    return functools.cache(lambda: opened_codec(model).network)


@dataclass(frozen=True, kw_only=True)
class _Compression(FileTask):
    """Compression as a task of the batch engine."""

    settings: CompressionRequest
    codec: OpenCodec | None = field(default=None, compare=False, repr=False)
    """The codec that this process has opened, for work in this process; other processes open their own."""

    def open(self) -> Convert:
        codec = self.codec or _opener(self.settings.model)

        def convert(item: Item, path: Path, settle: Settle) -> str:
            source = source_of(path, keep_metadata=self.settings.keep_metadata)
            with naming(path):
                data = compressed(source, codec, self.settings)
            atomic_io.write(item.target, data, check=functools.partial(settle, item.target))
            h, w = source.size
            return f"{size_text((h, w))}, {len(data):,} bytes, {8 * len(data) / (h * w):.3f} bits per pixel"

        return convert


@dataclass(frozen=True, kw_only=True)
class _Decompression(FileTask):
    """Decompression as a task of the batch engine."""

    model: Model
    codec: OpenCodec | None = field(default=None, compare=False, repr=False)
    """As in `_Compression`."""

    def open(self) -> Convert:
        codec = self.codec or _opener(self.model)

        def convert(item: Item, path: Path, settle: Settle) -> Outcome:
            with naming(path):
                result = decompressed(read_file(path), codec, name=str(self.model))
            files.write(item.target, result.picture, check=functools.partial(settle, item.target))
            h, w = result.picture.pixels.shape[:2]
            words, damage = f"{size_text((h, w))}, quality {result.quality}", _damage_words(result.damage)
            return Outcome(f"{damage}: {words}" if damage else words, damage)

        return convert


def _damage_words(faults: Sequence[str]) -> str:
    """The first fault of a file, and how many others there are; empty for none."""
    return f"{faults[0]}{f', and {len(faults) - 1} more' if len(faults) > 1 else ''}" if faults else ""


def _model_facts(model: Model) -> dict[str, object]:
    """What results depend on of a codec. Raises UnknownNameError if there is none of that name."""
    if isinstance(model, str | Path):
        return {"codec": atomic_io.digest(weights.find(model))}
    return {"codec": opened_codec(model).network.fingerprint.hex()}
