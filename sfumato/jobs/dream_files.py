"""Dreams in files: pictures, folders or noise to pictures that tell how they were made, each with a .json from which it can be repeated."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sfumato import __version__
from sfumato.core import disk
from sfumato.core.errors import CheckpointError, DataError, ImageError, SettingError, SfumatoError, StorageError
from sfumato.core.image import Images, Planes, to_pixels
from sfumato.core.pace import counted
from sfumato.data import files
from sfumato.data.decode import SUFFIXES
from sfumato.jobs.dream import Dream, Moment, Tell, dream, resolved
from sfumato.jobs.dream_latent import Found
from sfumato.jobs.eyes import Eyes
from sfumato.jobs.pictures import gather, told_apart
from sfumato.jobs.pixels import as_images, as_pixels
from sfumato.jobs.wishes import wish
from sfumato.metrics.features import weights_hash

KEY = "sfumato"
"""The comment of a PNG in which its recipe stands."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """One picture that was asked for."""

    source: str
    out: Path | None
    """None where it failed."""
    words: str


def dream_pictures(
    sources: Sequence[str | Path],
    out: Path,
    seeing: Eyes,
    how: Dream,
    *,
    guide: Path | None = None,
    mask: Path | None = None,
    overwrite: bool = False,
    tell: Callable[[Done, int, int], None] = lambda *_: None,
    watch: Tell = lambda _: None,
) -> list[Done]:
    """Dreams every picture of `sources` into the folder `out`, or into the file `out` if it is one picture and `out` a picture's name.

    A file that is there already stays, unless `overwrite`; an original, the guide and the mask stay in any case. `tell` is called after
    each with its number and how many there are, `watch` after each step. Raises DataError if there is no picture, SettingError for a wish
    that the network cannot see, StorageError if `out` cannot be written, ImageError for a guide that is no picture; what else is wrong
    with a picture is in what was done of it.
    """
    found = told_apart(gather(sources, leaving_out=None if out.suffix else out))
    if not found:
        raise DataError(f"no picture in {', '.join(map(str, sources))}; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    alone = out.suffix.lower() in files.FORMATS
    if alone and len(found) > 1:
        raise SettingError(f"{out} is one picture and there are {len(found)} to dream; give a folder with --out")
    if out.suffix and not alone:
        raise SettingError(f"{out}: pictures are written as {', '.join(files.FORMATS)}; choose another --out")
    for text in how.layers:
        wish(text, seeing)
    if how.label:
        seeing.class_number(how.label)
    shown = None if guide is None else picture_of(guide)
    kept = {path.resolve() for path in (*(path for path, _ in found), guide, mask) if path is not None}
    made = []
    for number, (path, name) in enumerate(counted(found, "pictures"), 1):
        target = out if alone else out / name.with_suffix(".png")
        try:
            if target.resolve() in kept:
                raise ImageError(f"{path}: {target} is an original and would be written over; choose another --out")
            free(target, overwrite=overwrite)
            done = _one(path, target, seeing, how, shown, guide, mask, watch)
        except StorageError:
            raise  # the next one would fail too
        except SfumatoError as error:
            done = Done(source=str(path), out=None, words=str(error))
        made.append(done)
        tell(done, number, len(found))
    return made


def _one(
    path: Path,
    target: Path,
    seeing: Eyes,
    how: Dream,
    shown: Images | None,
    guide: Path | None,
    mask: Path | None,
    watch: Tell,
) -> Done:
    picture = files.read(path, lossless=True)
    if picture.pixels.dtype == torch.uint16 and target.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise ImageError(f"{path} has 16 bits, which {target.suffix} cannot hold; choose a .png or .tif with --out")
    images = as_images(picture.pixels)
    where = None if mask is None else mask_of(mask, images)
    done = dream(images, seeing, how, guide=shown, mask=where, tell=watch)
    before, after, pixels = done.before[0], done.after[0], as_pixels(done.images, picture.pixels.dtype)
    del images, done  # of a large picture they are large, and writing it takes more
    told = recipe(seeing, resolved(how, seeing, fresh=False), before, after)
    told |= {"picture": path.name, "sha256": _digest(path)}
    told |= named(guide=guide, mask=mask)
    keep(target, dataclasses.replace(picture, pixels=pixels, layout="samples"), told)
    return Done(source=str(path), out=target, words=rise(before, after))


def free(target: Path, *, told: bool = True, overwrite: bool) -> Path:
    """`target`, if it is not there or may be replaced; the same of the .json beside it, where one is `told`. Raises ImageError if not."""
    for path in (target, target.with_suffix(".json")) if told else (target,):
        if path.exists() and not overwrite:
            raise ImageError(f"{path} is there already; choose another --out, or say --overwrite")
    return target


def named(**given: Path | None) -> dict[str, Any]:
    """The names and hashes of files, for a recipe."""
    return {key: {"file": path.name, "sha256": _digest(path)} for key, path in given.items() if path is not None}


def keep(target: Path, picture: files.Picture, told: dict[str, Any]) -> None:
    """Writes the picture with its recipe inside, where it is a PNG, and beside it as .json."""
    text = json.dumps(told, indent=2)
    files.write(target, dataclasses.replace(picture, text={**picture.text, KEY: text}))
    disk.write(target.with_suffix(".json"), text + "\n")


def keep_images(images: Images, targets: Sequence[Path], told: Sequence[dict[str, Any]]) -> None:
    """Writes each image, grey or coloured, as `keep` does."""
    for i, (target, each) in enumerate(zip(targets, told, strict=True)):
        keep(target, files.Picture(pixels=to_pixels(images[i : i + 1])), each)


def recipe(seeing: Eyes, how: Dream, before: float, after: float) -> dict[str, Any]:
    """What is needed to repeat a dream, but for its picture: the settings, the network, and what came of it."""
    settings = {field.name: getattr(how, field.name) for field in dataclasses.fields(how)}
    return {
        "made_with": f"sfumato {__version__}, torch {torch.__version__}",
        "network": seeing.name,
        "weights": weights_hash(seeing.network),
        "dream": settings,
        "before": before,
        "after": after,
    }


def latent_recipes(found: Found, seeing: Eyes, how: Dream, generator: str) -> list[dict[str, Any]]:
    """The recipe of each image that was dreamed through a generator."""
    return [
        recipe(seeing, dataclasses.replace(resolved(how, seeing, fresh=False), seed=subject.origin["seed"]), before, after)
        | {"through": generator, "shows": subject.origin["label"]}
        for subject, before, after in zip(found.subjects, found.dreamt.before, found.dreamt.after, strict=True)
    ]


def replayed(path: Path) -> tuple[str, Dream, dict[str, Any]]:
    """The network's name, the settings and all else that the recipe at `path` tells, a .json or a .png of ours.

    Raises CheckpointError for a file that tells none.
    """
    try:
        text = _comment(path) if path.suffix.lower() == ".png" else path.read_text(encoding="utf-8")
        told = json.loads(text)
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told["dream"].items()}
        return str(told["network"]), Dream(**values), told
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise CheckpointError(f"{path} tells no dream that could be repeated ({why})") from error


def complete(told: dict[str, Any], seeing: Eyes, pictures: Sequence[str], **given: Path | None) -> None:
    """Raises SettingError if the network has other weights than a recipe tells, or a guide or a mask was not given or is another one.

    Also if the dream began with a picture and there is none, or the other way round. Which picture is open: the same may be done to others.
    """
    if bool(pictures) != ("picture" in told):
        raise SettingError("that dream began with a picture; name one" if not pictures else "that dream began without a picture; name none")
    if told.get("weights", weights_hash(seeing.network)) != weights_hash(seeing.network):
        raise SettingError(f"{seeing.name} has other weights now than it had in that dream")
    for key, path in given.items():
        was = told.get(key)
        if was and path is None:
            raise SettingError(f"that dream had a {key}, {was['file']}; give it with --{key}")
        if was and path is not None and path.is_file() and _digest(path) != was["sha256"]:
            raise SettingError(f"{path} is not the {key} of that dream, {was['file']}: its bytes are others")


def _comment(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.info[KEY])


def picture_of(path: Path) -> Images:
    """The picture at `path` as an image. Raises ImageError if it is none."""
    return as_images(files.read(path).pixels)


def mask_of(path: Path, images: Images) -> Planes:
    """1 where the picture at `path` is white. Raises ImageError if it is of another size than `images`, or black."""
    drawn = picture_of(path).amax(dim=1, keepdim=True)
    if drawn.shape[2:] != images.shape[2:]:
        mine, its = (" x ".join(map(str, x.shape[2:])) for x in (drawn, images))
        raise ImageError(f"{path}: the mask is {mine} pixels, the picture {its}; they must be the same")
    if not drawn.any():
        raise ImageError(f"{path}: the mask is black everywhere; paint white where to dream")
    return drawn


class Preview:
    """Writes what a dream looks like so far into a file, now and then."""

    def __init__(self, path: Path, *, every: int = 5) -> None:
        self.path, self.every = path, every

    def __call__(self, moment: Moment) -> None:
        if moment.done % self.every == 0 or moment.done == moment.steps:
            files.save_image(self.path, to_pixels(moment.image.cpu()))


def rise(before: float, after: float) -> str:
    """In words how much more there is of what was wished.

    >>> rise(2.0, 9.0), rise(0.0, 9.0), rise(-3.0, 9.0)
    ('4.5 times as much as before', '9 where nothing was', 'from -3 to 9')
    """
    if before > 0:
        return f"{after / before:.3g} times as much as before"
    return f"from {before:.3g} to {after:.3g}" if before < 0 else f"{after:.3g} where nothing was"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
