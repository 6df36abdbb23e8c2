"""Dreams in files: from pictures or folders to pictures with a record of their settings, by which a dream can be repeated."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict

import torch

from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item, keep_originals
from sfumato.batch.manifest import Entry, Status
from sfumato.batch.sources import listed
from sfumato.batch.task import Convert, FileTask, Settle
from sfumato.batch.workers import Workers
from sfumato.core import atomic_io, outputs, schema
from sfumato.core.config import Range, changed
from sfumato.core.device import physical_memory
from sfumato.core.errors import CheckpointError, DataError, ImageError, SettingError, SfumatoError
from sfumato.core.json_value import Facts, Json
from sfumato.core.paths import inside
from sfumato.core.tensors import Images, Planes, to_pixels
from sfumato.core.text import inner_path, quoted
from sfumato.core.versions import made_with
from sfumato.dreaming.dream import Dream, Moment, Tell, dream, resolved
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.dreaming.objective import parse_objective
from sfumato.io import files, masks, streaming
from sfumato.io.channels import as_images, as_pixels
from sfumato.io.embedded import KEY, recipe_text
from sfumato.metrics.features import weights_hash
from sfumato.store.migrate import FORMAT, upgraded_tree

_BYTES = 85
"""Bytes of memory for each pixel of a picture that is dreamed in tiles, with all copies; measured."""
Side = Annotated[int, Range(1, 16384, "pixels")]


class Named(TypedDict):
    """A further picture of a dream: its guide or mask."""

    file: str
    sha256: str


class DreamRecord(TypedDict):
    """The record of a dream."""

    network: str
    dream: dict[str, Json]
    weights: NotRequired[str]
    through: NotRequired[str | None]
    shows: NotRequired[str | None]
    size: NotRequired[tuple[Side, Side]]
    guide: NotRequired[Named]
    mask: NotRequired[Named]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """The result for one picture."""

    source: str
    out: Path | None
    """The file; None for a picture that failed."""
    message: str


def planned(
    sources: Sequence[str | Path], out: Path, *, overwrite: bool = False, reads: Sequence[str | Path | None] = ()
) -> list[tuple[str, Path]]:
    """Each picture of `sources`, and the file that its dream goes to: in the folder `out`, or `out` itself for the name of a picture.

    Raises DataError if there is no picture, SettingError for an `out` that cannot be or, of one picture, is there already and not to be
    replaced or is one of the other files that the dream `reads`, StorageError if it cannot be written.
    """
    alone = outputs.is_file_name(out, files.FORMATS)
    pictures = listed(sources, exclude=None if alone else out, ending=".png")
    if not pictures:
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read")
    if not alone:
        outputs.check_folder(out / "dreams")
        return [(source, out / name) for source, name in pictures]
    if len(pictures) > 1:
        raise SettingError(f"--out {out} is one picture, and there are {len(pictures)} pictures to dream; name a folder instead")
    with outputs.reserved(output_files(out), by="dream", overwrite=overwrite, reads=(pictures[0][0], *reads), replaces=False):
        return [(pictures[0][0], out)]


def output_files(target: Path) -> list[Path]:
    """The files that `keep` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(target, files.FORMATS, "pictures")
    return [target, target.with_suffix(".json")]


def dream_pictures(
    sources: Sequence[str | Path],
    out: Path,
    seeing: DreamNetwork,
    options: Dream,
    *,
    guide: Path | None = None,
    mask: Path | None = None,
    overwrite: bool = False,
    workers: Workers | None = None,
    on_progress: Callable[[Done, int, int], None] = lambda *_: None,
    watch: Tell = lambda _: None,
) -> list[Done]:
    """Dreams every picture of `sources` into the folder `out`, or into the file `out` if it is one picture and `out` a picture's name.

    A file that is there already stays, unless `overwrite`; an original, the guide and the mask stay in any case. In a folder, dreams that
    its manifest knows, of the same picture with the same settings, are not dreamed again. `workers` share the pictures, by default this
    process does them alone; each loads the network by its name. `on_progress` is called after each with its number and how many there are,
    `watch` after each step, in this process only. Raises DataError if there is no picture, SettingError for a wish that the network cannot
    see, StorageError if `out` cannot be written or another run is at work there, ImageError for a guide that is no picture, ProcessError if
    the workers cannot work; what else is wrong with a picture is in what was done of it.
    """
    workers = workers or Workers()
    workers.check()
    pairs = planned(sources, out, overwrite=overwrite)
    for text in options.layers:
        parse_objective(text, seeing)
    if options.label:
        seeing.class_number(options.label)
    noted, facts = pairs[0][1] != out, request_facts(seeing, options, guide)
    preview = None if guide is None else picture_of(guide)
    here = [Item(source=source, target=target, companion=mask) for source, target in pairs if _has(workers, target, out)]
    items, writes = keep_originals(here, [path for path in (guide, mask) if path is not None])
    local = None if not workers.alone else Local(seeing, preview, watch)
    name, device = seeing.name, str(seeing.device)
    task = DreamTask(request=facts, overwrite=overwrite, options=options, guide=guide, network=name, device=device, local=local)
    results: list[Done] = []

    def note(entry: Entry, number: int, count: int) -> None:
        on_progress(_done(entry), number, count)

    # If every target is an original, nothing is written, and no manifest.
    with held(out, facts, workers, writes=noted and writes) as manifest:
        results += map(_done, run_batch(task, items, manifest, workers=workers, on_progress=note))
    return results


def _has(workers: Workers, target: Path, out: Path) -> bool:
    """Whether the dream at `target` belongs to the shard of the workers."""
    return workers.has(Path(target.name) if target == out else target.relative_to(out))


def _done(entry: Entry) -> Done:
    return Done(source=entry.source, out=None if entry.status == Status.FAILED else Path(entry.out), message=entry.message)


def request_facts(seeing: DreamNetwork, options: Dream, guide: Path | None) -> Facts:
    """Settings, network, guide and version, by which a manifest compares two runs."""
    facts = recipe(seeing, resolved(options, seeing, fresh=False), 0.0, 0.0) | named(guide=guide)
    return json.loads(json.dumps({"verb": "dream", **facts}))


@dataclasses.dataclass(frozen=True)
class Local:
    """What a dream in this process has at hand already, and does not send to others."""

    seeing: DreamNetwork
    preview: Images | None
    """The image of the guide."""
    watch: Tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class DreamTask(FileTask):
    """Dreams as a task of the batch engine."""

    options: Dream
    guide: Path | None
    network: str
    device: str
    local: Local | None = None

    def open(self) -> Convert:
        """Loads the network and the guide, and returns the function for one picture."""
        local = self.local
        if local is None:
            preview = None if self.guide is None else picture_of(self.guide)
            local = Local(dream_network(self.network, device=self.device), preview, lambda _: None)
        return functools.partial(self._dream, local)

    def outputs(self, target: Path) -> Sequence[Path]:
        """The picture and its record."""
        return output_files(target)

    def _dream(self, local: Local, item: Item, path: Path, settle: Settle) -> str:
        target, mask, seeing = item.target, item.companion, local.seeing
        need, there = streaming.megapixels(path) * 1e6 * _BYTES, physical_memory()
        if need > there:
            raise ImageError(f"{path}: to dream it takes {need / 1e9:.1f} GB, and this process can have {there / 1e9:.1f}; make it smaller")
        picture = files.read(path, lossless=True)
        if picture.pixels.dtype == torch.uint16 and target.suffix.lower() not in (".png", ".tif", ".tiff"):
            raise ImageError(f"{path} has 16 bits, which {target.suffix} cannot hold; choose a .png or .tif with --out")
        images = as_images(picture.pixels)
        where = None if mask is None else mask_of(mask, images)
        done = dream(images, seeing, self.options, guide=local.preview, mask=where, on_progress=local.watch)
        before, after, pixels = done.before[0], done.after[0], as_pixels(done.images, picture.pixels.dtype)
        del images, done  # of a large picture they are large, and writing it takes more
        record = recipe(seeing, resolved(self.options, seeing, fresh=False), before, after)
        record |= {"picture": path.name, "sha256": atomic_io.digest(path)}
        record |= named(guide=self.guide, mask=mask)
        keep(target, dataclasses.replace(picture, pixels=pixels, layout="samples"), record, check=settle)
        return rise(before, after)


def _naming(path: Path, error: SfumatoError) -> str:
    """The text of an error, with the name of the file at `path`."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Adds the name of the file at `path` to every ImageError from inside."""
    try:
        yield
    except ImageError as error:
        raise ImageError(_naming(path, error)) from error


def named(**paths: Path | None) -> Facts:
    """The names and hashes of files, for a recipe."""
    return {key: {"file": path.name, "sha256": atomic_io.digest(path)} for key, path in paths.items() if path is not None}


def keep(target: Path, picture: files.Picture, record: Facts, *, check: Callable[[Path, Path], None] = lambda *_: None) -> None:
    """Writes the recipe `record` beside the picture as .json, and then the picture, with the recipe inside where it is a PNG.

    `check` is called with the path and the finished file of each, before that takes its place.
    """
    text, beside = json.dumps({"format": FORMAT, **record}, indent=2), target.with_suffix(".json")
    # The picture last: a picture without its record would not be repeatable.
    atomic_io.write(beside, text + "\n", check=lambda result: check(beside, result))
    files.write(target, dataclasses.replace(picture, text={**picture.text, KEY: text}), check=lambda result: check(target, result))


def recipe(seeing: DreamNetwork, options: Dream, before: float, after: float) -> Facts:
    """The record of a dream, without its picture: the settings, the network, and the value of the objectives before and after."""
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {
        "made_with": made_with(),
        "network": inside(seeing.name),
        "weights": weights_hash(seeing.network),
        "dream": settings,
        "before": before,
        "after": after,
    }


def replayed(path: Path) -> tuple[Dream, DreamRecord]:
    """The settings and the whole record of the dream in the file at `path`, a .json or a .png.

    Raises CheckpointError for a file without such a record.
    """
    try:
        tree = schema.parsed_object(recipe_text(path), str(path)) if path.suffix.lower() == ".png" else schema.read_object(path)
        record = schema.checked(upgraded_tree(tree), DreamRecord, str(path))
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in record["dream"].items()}
        return changed(Dream(), **values), record
    except (SfumatoError, TypeError) as error:
        reason = " ".join(str(error).removeprefix(f"{path}: ").split())[:200]
        raise CheckpointError(f"{path} tells no dream that could be repeated ({reason})") from error


def near(name: str, flag: str) -> str:
    """The network of a record, if it is a name or lies below the current folder: a record may come from anyone.

    Raises SettingError for any other, which must be given with `flag`.
    """
    path = inner_path(name)
    if path is None:
        raise SettingError(f"that dream's network was {quoted(name)}, which does not lie below this folder; name it with {flag}")
    return name


def complete(record: DreamRecord, seeing: DreamNetwork, pictures: Sequence[str], **paths: Path | None) -> None:
    """Raises SettingError if the network has other weights than those of a record, or if a guide or mask is missing or another one.

    Also for no picture if the dream began with one, and the reverse. The picture itself may be another one.
    """
    if bool(pictures) != ("picture" in record):
        raise SettingError("that dream began with a picture; name one" if not pictures else "that dream began without a picture; name none")
    if record.get("weights", weights_hash(seeing.network)) != weights_hash(seeing.network):
        raise SettingError(f"{seeing.name} has other weights now than it had in that dream")
    for key, path in paths.items():
        was = record.get(key)
        if was and path is None:
            raise SettingError(f"that dream had a {key}, {was['file']}; give it with --{key}")
        if was and path is not None and path.is_file() and atomic_io.digest(path) != was["sha256"]:
            raise SettingError(f"{path} is not the {key} of that dream, {was['file']}: its bytes are others")


def is_same_dream(target: Path, record: Facts) -> bool:
    """Whether the PNG at `target` holds `record`, apart from its result and version."""
    open_ = ("before", "after", "made_with")
    try:
        there = upgraded_tree(schema.parsed_object(recipe_text(target), str(target)))
        wanted = json.loads(json.dumps(record))
        return {k: v for k, v in there.items() if k not in open_} == {k: v for k, v in wanted.items() if k not in open_}
    except SfumatoError:
        return False


def picture_of(path: Path) -> Images:
    """The picture at `path` as an image. Raises ImageError if it is none."""
    return as_images(files.read(path).pixels)


def mask_of(path: Path, images: Images) -> Planes:
    """1 where the picture at `path` is white. Raises ImageError if it is of another size than `images`, or black."""
    drawn = masks.read(path, images.shape[2:])
    if not drawn.any():
        raise ImageError(f"{path}: the mask is black everywhere; paint white where to dream")
    return drawn


class Preview:
    """Writes the state of a dream into a file, every few steps."""

    def __init__(self, path: Path, *, every: int = 5) -> None:
        self.path, self.every = path, every

    def __call__(self, moment: Moment) -> None:
        if moment.step % self.every == 0 or moment.step == moment.steps:
            files.save_image(self.path, to_pixels(moment.image.cpu()))


def rise(before: float, after: float) -> str:
    """The change of the activation, in text.

    >>> rise(2.0, 9.0), rise(0.0, 9.0), rise(-3.0, 9.0)
    ('activation from 2 to 9 (4.5 times)', 'activation from 0 to 9', 'activation from -3 to 9')
    """
    times = f" ({after / before:.3g} times)" if before > 0 else ""
    return f"activation from {before:.3g} to {after:.3g}{times}"
