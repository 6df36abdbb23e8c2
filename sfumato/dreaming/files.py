"""Dreams in files: pictures, folders or noise to pictures that tell how they were made, each with a .json from which it can be repeated."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import torch

from sfumato import __version__
from sfumato.batch.manifest import DONE, NAME, Entry, Facts, Manifest
from sfumato.batch.sources import gather, unique_names
from sfumato.core import atomic_io, outputs, schema
from sfumato.core.config import Range
from sfumato.core.device import physical_memory
from sfumato.core.errors import CheckpointError, DataError, ImageError, SettingError, SfumatoError, StorageError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Planes, size_text, to_pixels
from sfumato.core.text import inner_path, quoted
from sfumato.dreaming.dream import Dream, Moment, Tell, dream, resolved
from sfumato.dreaming.feature_extractor import DreamNetwork
from sfumato.dreaming.objective import parse_objective
from sfumato.io import files, streaming
from sfumato.io.channels import as_images, as_pixels
from sfumato.io.embedded import KEY, recipe_text
from sfumato.metrics.features import weights_hash
from sfumato.store.migrate import FORMAT, upgraded_tree

_BYTES = 85
"""For each pixel of a picture that is dreamed in tiles: stored, as numbers, in octaves, and what was added to it; measured."""
Side = Annotated[int, Range(1, 16384, "pixels")]


class Named(TypedDict):
    """Another picture that a dream needed."""

    file: str
    sha256: str


class Told(TypedDict):
    """A recipe."""

    network: str
    dream: dict[str, Any]
    weights: NotRequired[str]
    through: NotRequired[str | None]
    shows: NotRequired[str | None]
    size: NotRequired[tuple[Side, Side]]
    guide: NotRequired[Named]
    mask: NotRequired[Named]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """One picture that was asked for."""

    source: str
    out: Path | None
    """None where it failed."""
    message: str


def planned(
    sources: Sequence[str | Path], out: Path, *, overwrite: bool = False, reads: Sequence[str | Path | None] = ()
) -> list[tuple[Path, Path]]:
    """Each picture of `sources`, and the file that its dream goes to: in the folder `out`, or `out` itself for the name of a picture.

    Raises DataError if there is no picture, SettingError for an `out` that cannot be or, of one picture, is there already and not to be
    replaced or is one of the other files that the dream `reads`, StorageError if it cannot be written.
    """
    alone = outputs.is_file_name(out, files.FORMATS)
    found = unique_names(gather(sources, leaving_out=None if alone else out), ending=".png")
    if not found:
        raise DataError(f"no picture in {', '.join(map(str, sources))} that can be read")
    if not alone:
        outputs.check_folder(out / "dreams")
        return [(path, out / name) for path, name in found]
    if len(found) > 1:
        raise SettingError(f"{out} is one picture and there are {len(found)} to dream; give a folder with --out")
    with outputs.reserved(output_files(out), by="dream", overwrite=overwrite, reads=(found[0][0], *reads), replaces=False):
        return [(found[0][0], out)]


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
    on_progress: Callable[[Done, int, int], None] = lambda *_: None,
    watch: Tell = lambda _: None,
) -> list[Done]:
    """Dreams every picture of `sources` into the folder `out`, or into the file `out` if it is one picture and `out` a picture's name.

    A file that is there already stays, unless `overwrite`; an original, the guide and the mask stay in any case. In a folder, dreams that
    its manifest knows, of the same picture with the same settings, are not dreamed again. `on_progress` is called after each with its
    number and how many there are, `watch` after each step. Raises DataError if there is no picture, SettingError for a wish that the
    network cannot see, StorageError if `out` cannot be written or another run is at work there, ImageError for a guide that is no picture;
    what else is wrong with a picture is in what was done of it.
    """
    pairs = planned(sources, out, overwrite=overwrite)
    for text in options.layers:
        parse_objective(text, seeing)
    if options.label:
        seeing.class_number(options.label)
    work = _Work(seeing, options, None if guide is None else picture_of(guide), guide, mask, watch, overwrite=overwrite)
    work.originals = {path.resolve() for path in (*(path for path, _ in pairs), guide, mask) if path is not None}
    # Where only originals lie nothing will be written, and no manifest.
    noted, made = pairs[0][1] != out and any(target.resolve() not in work.originals for _, target in pairs), []
    with atomic_io.alone(out) if noted else contextlib.nullcontext():
        manifest = Manifest(out / NAME if noted else None, work.request_facts())
        for place in {target.parent for _, target in pairs if target.parent.is_dir()}:
            atomic_io.sweep(place, below=False)
        for number, (path, target) in enumerate(counted(pairs, "pictures"), 1):
            done = work.attempt(path, target, manifest)
            made.append(done)
            on_progress(done, number, len(pairs))
    return made


@dataclasses.dataclass
class _Work:
    """What is done to every picture."""

    seeing: DreamNetwork
    options: Dream
    preview: Images | None
    guide: Path | None
    mask: Path | None
    watch: Tell
    overwrite: bool = dataclasses.field(kw_only=True)
    originals: set[Path] = dataclasses.field(default_factory=set)
    """Files that are never replaced."""

    def request_facts(self) -> Facts:
        """What is asked for, by which a dream is known again: settings, network, guide and version."""
        told = recipe(self.seeing, resolved(self.options, self.seeing, fresh=False), 0.0, 0.0) | named(guide=self.guide)
        return json.loads(json.dumps({"verb": "dream", **told}))

    def attempt(self, path: Path, target: Path, manifest: Manifest) -> Done:
        """The dream of one picture, unless it was done before. Raises StorageError, after which the next one would fail too."""
        facts: Facts = {}
        try:
            if target.resolve() in self.originals:
                raise ImageError(f"{path}: {target} is an original and would be written over; choose another --out")
            facts = manifest.facts(path, self.mask)
            if (earlier := manifest.earlier(path, target, facts)) and (not self.overwrite or earlier.message == DONE):
                return Done(source=str(path), out=target, message=earlier.message)
            for each in output_files(target):
                outputs.check_place(each)
                if os.path.lexists(each) and not self.overwrite and not manifest.is_own(path, each):
                    raise ImageError(f"{each} is there already; choose another --out, or say --overwrite")
            return self._dream(path, target, manifest, facts)
        except StorageError:
            raise
        except SfumatoError as error:
            words = _naming(path, error)
            manifest.add(Entry(source=str(path), out=str(target), status="failed", message=words), path, target, facts)
            return Done(source=str(path), out=None, message=words)

    def _dream(self, path: Path, target: Path, manifest: Manifest, facts: Facts) -> Done:
        need, there = streaming.megapixels(path) * 1e6 * _BYTES, physical_memory()
        if need > there:
            raise ImageError(f"{path}: to dream it takes {need / 1e9:.1f} GB, and this process can have {there / 1e9:.1f}; make it smaller")
        picture = files.read(path, lossless=True)
        if picture.pixels.dtype == torch.uint16 and target.suffix.lower() not in (".png", ".tif", ".tiff"):
            raise ImageError(f"{path} has 16 bits, which {target.suffix} cannot hold; choose a .png or .tif with --out")
        images = as_images(picture.pixels)
        where = None if self.mask is None else mask_of(self.mask, images)
        done = dream(images, self.seeing, self.options, guide=self.preview, mask=where, on_progress=self.watch)
        before, after, pixels = done.before[0], done.after[0], as_pixels(done.images, picture.pixels.dtype)
        del images, done  # of a large picture they are large, and writing it takes more
        told = recipe(self.seeing, resolved(self.options, self.seeing, fresh=False), before, after)
        told |= {"picture": path.name, "sha256": atomic_io.digest(path)}
        told |= named(guide=self.guide, mask=self.mask)
        entry, made = Entry(source=str(path), out=str(target), status="writing", message=rise(before, after)), ""

        def settled(place: Path, result: Path) -> None:
            nonlocal made
            made = atomic_io.digest(result)
            manifest.add(entry, path, place, facts, output_digest=made)

        keep(target, dataclasses.replace(picture, pixels=pixels, layout="samples"), told, check=settled)
        manifest.add(dataclasses.replace(entry, status="done"), path, target, facts, output_digest=made)
        return Done(source=str(path), out=target, message=entry.message)


def _naming(path: Path, error: SfumatoError) -> str:
    """The error in words that name the file at `path`."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Raises every ImageError from inside with the name of the file at `path` in it."""
    try:
        yield
    except ImageError as error:
        raise ImageError(_naming(path, error)) from error


def named(**given: Path | None) -> dict[str, Any]:
    """The names and hashes of files, for a recipe."""
    return {key: {"file": path.name, "sha256": atomic_io.digest(path)} for key, path in given.items() if path is not None}


def keep(target: Path, picture: files.Picture, record: dict[str, Any], *, check: Callable[[Path, Path], None] = lambda *_: None) -> None:
    """Writes the recipe `record` beside the picture as .json, and then the picture, with the recipe inside where it is a PNG.

    `check` is called with the path and the finished file of each, before that takes its place.
    """
    text, beside = json.dumps({"format": FORMAT, **record}, indent=2), target.with_suffix(".json")
    # The picture last: where it is, its recipe is.
    atomic_io.write(beside, text + "\n", check=lambda made: check(beside, made))
    files.write(target, dataclasses.replace(picture, text={**picture.text, KEY: text}), check=lambda made: check(target, made))


def recipe(seeing: DreamNetwork, options: Dream, before: float, after: float) -> dict[str, Any]:
    """What is needed to repeat a dream, but for its picture: the settings, the network, and what came of it."""
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {
        "made_with": f"sfumato {__version__}, torch {torch.__version__}",
        "network": inside(seeing.name),
        "weights": weights_hash(seeing.network),
        "dream": settings,
        "before": before,
        "after": after,
    }


def replayed(path: Path) -> tuple[str, Dream, dict[str, Any]]:
    """The network's name, the settings and all else that the recipe at `path` tells, a .json or a .png of ours.

    Raises CheckpointError for a file that tells none.
    """
    try:
        tree = schema.parsed_object(recipe_text(path), str(path)) if path.suffix.lower() == ".png" else schema.read_object(path)
        told = schema.checked(upgraded_tree(tree), Told, str(path))
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told["dream"].items()}
        return told["network"], Dream(**values), {**told}
    except (SfumatoError, TypeError) as error:
        reason = " ".join(str(error).removeprefix(f"{path}: ").split())[:200]
        raise CheckpointError(f"{path} tells no dream that could be repeated ({reason})") from error


def near(name: str, flag: str) -> str:
    """The network that a recipe names, if it is known by name or lies below the folder where one is: a recipe may come from anywhere.

    Raises SettingError for any other, which must be named with `flag`.
    """
    path = inner_path(name)
    if path is None:
        raise SettingError(f"that dream's network was {quoted(name)}, which does not lie below this folder; name it with {flag}")
    return name


def complete(record: dict[str, Any], seeing: DreamNetwork, pictures: Sequence[str], **given: Path | None) -> None:
    """Raises SettingError if the network has other weights than a recipe tells, or a guide or a mask was not given or is another one.

    Also if the dream began with a picture and there is none, or the other way round. Which picture is open: the same may be done to others.
    """
    if bool(pictures) != ("picture" in record):
        raise SettingError("that dream began with a picture; name one" if not pictures else "that dream began without a picture; name none")
    if record.get("weights", weights_hash(seeing.network)) != weights_hash(seeing.network):
        raise SettingError(f"{seeing.name} has other weights now than it had in that dream")
    for key, path in given.items():
        was = record.get(key)
        if was and path is None:
            raise SettingError(f"that dream had a {key}, {was['file']}; give it with --{key}")
        if was and path is not None and path.is_file() and atomic_io.digest(path) != was["sha256"]:
            raise SettingError(f"{path} is not the {key} of that dream, {was['file']}: its bytes are others")


def is_same_dream(target: Path, record: dict[str, Any]) -> bool:
    """Whether the recipe in the PNG at `target` is `record`, whatever came of it."""
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
    drawn = picture_of(path).amax(dim=1, keepdim=True)
    if drawn.shape[2:] != images.shape[2:]:
        mine, its = (size_text(x.shape[2:]) for x in (drawn, images))
        raise ImageError(f"{path}: the mask is {mine} pixels, the picture {its}; they must be the same")
    if not drawn.any():
        raise ImageError(f"{path}: the mask is black everywhere; paint white where to dream")
    return drawn


class Preview:
    """Writes what a dream looks like so far into a file, now and then."""

    def __init__(self, path: Path, *, every: int = 5) -> None:
        self.path, self.every = path, every

    def __call__(self, moment: Moment) -> None:
        if moment.step % self.every == 0 or moment.step == moment.steps:
            files.save_image(self.path, to_pixels(moment.image.cpu()))


def rise(before: float, after: float) -> str:
    """In words how the activation of the layers that were asked for has changed.

    >>> rise(2.0, 9.0), rise(0.0, 9.0), rise(-3.0, 9.0)
    ('activation from 2 to 9 (4.5 times)', 'activation from 0 to 9', 'activation from -3 to 9')
    """
    times = f" ({after / before:.3g} times)" if before > 0 else ""
    return f"activation from {before:.3g} to {after:.3g}{times}"
