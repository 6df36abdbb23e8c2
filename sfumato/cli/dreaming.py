"""The verbs that dream: `dream` and `features`."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sfumato.cli.verbs import Device, Model, Pictures, console, machine
from sfumato.core.errors import SettingError

Names = tuple[str, ...]


def dream(
    pictures: Pictures = (),
    *,
    network: str | None = None,
    layer: Names = (),
    label: str = "",
    guide: Path | None = None,
    through: str | None = None,
    shows: str | None = None,
    mask: Path | None = None,
    strength: float = 1.0,
    steps: int = 0,
    octaves: int = 4,
    ratio: float = 1.4,
    jitter: int = 32,
    bands: int = 4,
    variation: float = 0.0,
    alpha: float = 0.0,
    space: Literal["auto", "pixels", "fourier"] = "auto",
    size: str = "224x224",
    n: int = 1,
    seed: int = 0,
    tile: int = 0,
    zoom: int = 0,
    fps: float = 12.0,
    replay: Path | None = None,
    preview: Path | None = None,
    layers: str | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    overwrite: bool = False,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Show more of what a network sees: in pictures, in noise, in films, or through a generator. Writes a .png and a .json.

    Args:
        pictures: Pictures, folders or globs, or one film; from noise if there is none.
        network: squeezenet, alexnet, vgg16, googlenet or inception, or a model of ours; by default squeezenet, else a bundled classifier.
        layer: What to show more of: fire7, fire7=0.5 (a weight), fire8:12,40 (channels), fire8:12@3,4 (a place).
        label: A class to show, by name or number.
        guide: A picture whose forms to show.
        through: A generator to move instead of pixels, so that the result stays one of its images.
        shows: Class of the generator's image, by name.
        mask: A picture of the same size, white where to dream.
        strength: Size of the steps.
        steps: Steps in each octave (10 if not given), or in all of a spectrum (256), or of a generator (100).
        octaves: How many sizes are dreamed in, small to large.
        ratio: From one size to the next.
        jitter: Pixels by which the picture is shifted at most before each step.
        bands: Frequency bands that are made equally strong; 1 leaves the slope rough.
        variation: Weight of total variation, as a share of the slope.
        alpha: Stay as near as can be to the picture, with so many times its own activation; 0 to go as far as the steps lead.
        space: pixels in octaves, or the Fourier spectrum, which stays smooth.
        size: Height and width of what is dreamed from noise.
        n: How many from noise or through a generator, of the seeds from `seed` on.
        seed: Of the noise and the jitter.
        tile: About how many pixels a side are computed at once; by default large pictures are taken apart by themselves.
        zoom: Frames of a film that falls into the picture.
        fps: Frames a second of that film.
        replay: The .json or .png of an earlier dream, whose settings to take.
        preview: A picture file that shows the dream while it goes on.
        layers: Only list the layers of this network.
        precision: bf16 takes about half the time where the hardware has it.
        overwrite: Replace files that are there.
        out: A picture, a folder for several, or a .gif, .webp or .mp4; by default named after the picture.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    given = dict(locals())
    with machine(threads):
        from sfumato.jobs import dream as job
        from sfumato.jobs import dream_files, eyes

        _check(given)
        if layers is not None:
            list_layers(eyes.eyes(layers, device=device))
            return
        # All of its settings are flags; --layers is one that lists.
        how = job.Dream(layers=layer, **{each.name: given[each.name] for each in dataclasses.fields(job.Dream) if each.name != "layers"})
        told: dict[str, Any] = {}
        if replay is not None:
            network, how, told = dream_files.replayed(replay)
            through, shows = told.get("through"), told.get("shows")
            size = "x".join(map(str, told["size"])) if "size" in told else size
        seeing = eyes.eyes(network, device=device, tell=lambda words: console.print(words, highlight=False))
        if replay is not None:
            dream_files.complete(told, seeing, pictures, guide=guide, mask=mask)
        with _progress(preview) as watch:
            if through is not None:
                _through(through, seeing, how, n, shows, out, watch, overwrite=overwrite)
            elif not pictures:
                _noise(seeing, how, _size(size), n, guide, out, watch, overwrite=overwrite)
            elif zoom:
                _zoom(pictures, seeing, how, zoom, fps, guide, out, overwrite=overwrite)
            elif _is_film(pictures):
                _film(Path(pictures[0]), seeing, how, guide, out, overwrite=overwrite)
            else:
                _pictures(pictures, seeing, how, guide, mask, out, watch, overwrite=overwrite)


def features(
    network: Model,
    *,
    layer: str | None = None,
    channels: tuple[int, ...] = (),
    steps: int = 96,
    seed: int = 0,
    overwrite: bool = False,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Draw an atlas of a layer: for each of its channels the image that it responds to most, on one sheet.

    Args:
        network: squeezenet, alexnet, vgg16, googlenet or inception, or a model of ours.
        layer: Which layer; by default one in the middle.
        channels: Which channels; by default all.
        steps: Steps for each image.
        seed: Of the noise that each begins with.
        overwrite: Replace files that are there.
        out: The sheet; by default named after the network and the layer, here.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from rich.progress import Progress

        from sfumato.jobs import atlas as job
        from sfumato.jobs.eyes import eyes

        seeing = eyes(network, device=device)
        (target,) = _targets(out or Path(f"{Path(network).stem}-{layer or seeing.usual}.png"), 1, seed, overwrite=overwrite)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"{layer or seeing.usual} of {network}", total=None)
            images, chosen = job.atlas(
                seeing, layer, channels=channels, steps=steps, seed=seed, tell=lambda i, of: progress.update(task, completed=i, total=of)
            )
        paths = job.save(images, chosen, target, seeing, layer)
        console.print(f"{len(chosen)} channels of {layer or seeing.usual}: {', '.join(map(str, paths))}", highlight=False)


def list_layers(seeing: Any) -> None:
    """A table of the layers of a network."""
    from rich.table import Table

    table = Table("layer", "channels", "stride", "looks at", title=f"{seeing.name}: --layer", title_justify="left")
    for each in seeing.listed():
        usual = " (if none is named)" if each.name == seeing.usual else ""
        table.add_row(f"{each.name}{usual}", str(each.width), f"{each.stride} px", f"{each.field} x {each.field} px")
    console.print(table)
    if seeing.classes:
        console.print(f"{len(seeing.classes)} classes for --label", highlight=False)


@contextlib.contextmanager
def _progress(preview: Path | None) -> Iterator[Any]:
    """What shows on the console how far a dream is, and in the file `preview` what it looks like."""
    from rich.progress import Progress

    from sfumato.jobs.dream_files import Preview

    look = Preview(preview) if preview else None
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("dreaming", total=None)

        def watch(moment: Any) -> None:
            progress.update(task, completed=moment.done, total=moment.steps, description=f"dreaming ({moment.amount:.3g})")
            if look is not None:
                look(moment)

        yield watch


def _pictures(
    pictures: Names, seeing: Any, how: Any, guide: Path | None, mask: Path | None, out: Path | None, watch: Any, *, overwrite: bool
) -> None:
    from sfumato.core.errors import ImageError
    from sfumato.jobs.dream_files import dream_pictures

    alone = len(pictures) == 1 and Path(pictures[0]).is_file()
    target = out or Path(f"{Path(pictures[0]).stem}-dream.png" if alone else "dreams")

    def tell(done: Any, number: int, count: int) -> None:
        if count > 1 or done.out is not None:
            place = f"[{number}/{count}] " if count > 1 else ""
            words = f"{done.source}: {done.words} -> {done.out}" if done.out else f"failed: {done.words}"
            console.print(place + words, markup=False, highlight=False, soft_wrap=True)

    made = dream_pictures(pictures, target, seeing, how, guide=guide, mask=mask, overwrite=overwrite, tell=tell, watch=watch)
    if failed := [done for done in made if done.out is None]:
        raise ImageError(failed[0].words if len(made) == 1 else f"{len(failed)} of {len(made)} pictures failed")


def _noise(
    seeing: Any, how: Any, size: tuple[int, int], n: int, guide: Path | None, out: Path | None, watch: Any, *, overwrite: bool
) -> None:
    from sfumato.jobs import dream as job
    from sfumato.jobs import dream_files

    targets = _targets(out or Path("dream.png"), n, how.seed, overwrite=overwrite)
    shown = None if guide is None else dream_files.picture_of(guide)
    done = job.dream(None, seeing, how, size=size, n=n, guide=shown, tell=watch)
    told = [
        dream_files.recipe(seeing, dataclasses.replace(job.resolved(how, seeing, fresh=True), seed=how.seed + i), *pair)
        | {"size": size}
        | dream_files.named(guide=guide)
        for i, pair in enumerate(zip(done.before, done.after, strict=True))
    ]
    dream_files.keep_images(done.images, targets, told)
    for target, before, after in zip(targets, done.before, done.after, strict=True):
        console.print(f"{dream_files.rise(before, after)} -> {target}", highlight=False)


def _through(generator: str, seeing: Any, how: Any, n: int, shows: str | None, out: Path | None, watch: Any, *, overwrite: bool) -> None:
    from sfumato.jobs import dream_files
    from sfumato.jobs.dream_latent import dream_through

    targets = _targets(out or Path("dream.png"), n, how.seed, overwrite=overwrite)
    found = dream_through(generator, seeing, how, n=n, shows=shows, tell=watch)
    dream_files.keep_images(found.dreamt.images, targets, dream_files.latent_recipes(found, seeing, how, generator))
    for target, before, after in zip(targets, found.dreamt.before, found.dreamt.after, strict=True):
        console.print(f"{dream_files.rise(before, after)} -> {target}", highlight=False)


def _zoom(
    pictures: Names, seeing: Any, how: Any, frames: int, fps: float, guide: Path | None, out: Path | None, *, overwrite: bool
) -> None:
    from sfumato.core.image import to_pixels
    from sfumato.data.files import check_animation, save_animation
    from sfumato.jobs.dream_files import free, picture_of
    from sfumato.jobs.dream_films import falling

    target = free(out or Path(f"{Path(pictures[0]).stem}-dream.gif"), told=False, overwrite=overwrite)
    check_animation(target, fps)
    shown = None if guide is None else picture_of(guide)
    made = []
    with _frames() as tell:
        for i, frame in enumerate(falling(picture_of(Path(pictures[0])), seeing, how, frames=frames, guide=shown), 1):
            made.append(to_pixels(frame))
            tell(i, frames)
    save_animation(target, made, fps=fps)
    console.print(f"{len(made)} frames -> {target}", highlight=False)


def _film(path: Path, seeing: Any, how: Any, guide: Path | None, out: Path | None, *, overwrite: bool) -> None:
    from sfumato.jobs.dream_files import free, picture_of
    from sfumato.jobs.dream_films import Dreamer, dream_film

    ending = path.suffix if path.suffix in (".gif", ".webp", ".mkv") else ".mp4"
    target = free(out or Path(f"{path.stem}-dream{ending}"), told=False, overwrite=overwrite)
    dreamer = Dreamer(seeing, how, guide=None if guide is None else picture_of(guide))
    with _frames() as tell:
        count = dream_film(path, target, dreamer, overwrite=overwrite, tell=tell)
    console.print(f"{count} frames -> {target}", highlight=False)


@contextlib.contextmanager
def _frames() -> Iterator[Any]:
    """What shows on the console how many frames are done."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("frames", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def _is_film(pictures: Names) -> bool:
    from sfumato.jobs.dream_films import moving
    from sfumato.jobs.film import is_film

    return is_film(pictures) or (len(pictures) == 1 and moving(Path(pictures[0])))


def _targets(out: Path, n: int, seed: int, *, overwrite: bool) -> list[Path]:
    from sfumato.data.files import FORMATS
    from sfumato.jobs.dream_files import free

    if out.suffix and out.suffix.lower() not in FORMATS:
        raise SettingError(f"{out}: pictures are written as {', '.join(FORMATS)}; choose another --out")
    if n == 1:
        return [free(out if out.suffix else out / "dream.png", overwrite=overwrite)]
    if out.suffix and out != Path("dream.png"):
        raise SettingError(f"{out} is one picture and there are {n} to make; give a folder with --out")
    folder = Path("dreams") if out.suffix else out
    return [free(folder / f"{seed + i:05d}.png", overwrite=overwrite) for i in range(n)]


OCTAVES = {"octaves", "ratio", "jitter", "bands", "variation"}
SETTINGS = {"network", "layer", "label", "strength", "steps", "seed", "tile", "precision"}
ALWAYS = {"pictures", "overwrite", "out", "device", "threads"}
USED = {
    "with --layers, which only lists them": {"layers", "device", "threads"},
    "with --replay, which does what the file says": {"replay", "guide", "mask", "preview"},
    "through a generator": {"through", "shows", "n", "preview", *SETTINGS},
    "on a fall into a picture": {"zoom", "fps", "guide", "space", *SETTINGS, *OCTAVES},
    "on a film": {"guide", "alpha", "space", *SETTINGS, *OCTAVES},
    "on pictures": {"guide", "mask", "preview", "alpha", "space", *SETTINGS, *OCTAVES},
    "on pictures in a spectrum": {"guide", "mask", "preview", "space", *SETTINGS},
    "from noise in a spectrum": {"guide", "preview", "size", "n", "space", *SETTINGS},
    "from noise": {"guide", "preview", "size", "n", "space", *SETTINGS, *OCTAVES},
}
"""Which flags have an effect, by what is done."""


def _check(given: dict[str, Any]) -> None:
    """Raises SettingError for flags that have no effect on what is done, and for files that would be lost."""
    mode = _mode(given)
    usual = {name: parameter.default for name, parameter in inspect.signature(dream).parameters.items()}
    idle = [name for name, value in given.items() if value != usual[name] and name not in USED[mode] | ALWAYS]
    if given["pictures"] and given["through"]:
        raise SettingError(
            "--through begins with an image of the generator; leave the pictures out (`sfumato project` finds one for a picture)"
        )
    if idle:
        raise SettingError(f"--{idle[0]} has no effect {mode}; leave it out")
    if given["zoom"] and len(given["pictures"]) != 1:
        raise SettingError("--zoom falls into one picture; give one")
    if given["n"] < 1:
        raise SettingError(f"n = {given['n']} must be at least 1")
    look: Path | None = given["preview"]
    if look is not None and look.resolve() in {
        Path(each).resolve() for each in (*given["pictures"], given["guide"], given["mask"]) if each
    }:
        raise SettingError(f"--preview {look} would be written over a picture that is read; choose another name")


def _mode(given: dict[str, Any]) -> str:
    """What is done, as a key of USED."""
    for flag, mode in zip(("layers", "replay", "through", "zoom"), USED, strict=False):
        if given[flag]:
            return mode
    if not given["pictures"]:
        return "from noise" if given["space"] == "pixels" else "from noise in a spectrum"
    if _is_film(given["pictures"]):
        return "on a film"
    return "on pictures in a spectrum" if given["space"] == "fourier" else "on pictures"


def _size(text: str) -> tuple[int, int]:
    """`224x320` as height and width. Raises SettingError for anything else."""
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.strip().isdecimal() and 0 < int(part) <= 16384 for part in parts):
        raise SettingError(f"size = {text!r} is none; write 224, or 224x320 for height and width")
    return int(parts[0]), int(parts[-1])


VERBS = (dream, features)
