"""The verbs that dream: `dream` and `features`."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Device, Model, Pictures, machine, progress
from sfumato.core.errors import SettingError
from sfumato.core.progress import job, reached

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
        replay: The .json or .png of an earlier dream, whose settings to take; --network and --through say where its models lie by now.
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
        from sfumato.dreaming import dream as dreams
        from sfumato.dreaming import files, seeds
        from sfumato.dreaming.feature_extractor import dream_network

        _check(given)
        if layers is not None:
            list_layers(dream_network(layers, device=device))
            return
        # All of its settings are flags; --layers is one that lists.
        how = dreams.Dream(
            layers=layer, **{each.name: given[each.name] for each in dataclasses.fields(dreams.Dream) if each.name != "layers"}
        )
        told: dict[str, Any] = {}
        if replay is not None:
            name, how, told = files.replayed(replay)
            network = network or files.near(name, "--network")
            maker, shows = told.get("through"), told.get("shows")
            if through and maker is None:
                raise SettingError("--through has no effect on that dream, which went through no generator; leave it out")
            through = through or (maker and files.near(maker, "--through"))
            size = "x".join(map(str, told["size"])) if "size" in told else size
        with _reserved(given, how, network, through) as (targets, held), _progress(preview) as watch:
            shape = _size(size)
            seeing = dream_network(network, device=device, on_progress=lambda words: console.print(words, highlight=False))
            if replay is not None:
                files.complete(told, seeing, pictures, guide=guide, mask=mask)
            if through is not None or not pictures:
                options: Any = {"overwrite": overwrite, "watch": watch, "on_progress": _report_step}
                if through is not None:
                    seeds.dream_styles(through, seeing, how, targets, held, shows=shows, **options)
                else:
                    seeds.dream_noise(seeing, how, targets, held, size=shape, guide=guide, **options)
            elif zoom:
                _zoom(pictures, seeing, how, zoom, fps, guide, targets[0])
            elif _is_film(pictures):
                _film(Path(pictures[0]), seeing, how, guide, targets[0], overwrite=overwrite)
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
        from sfumato.core import outputs
        from sfumato.dreaming import atlas as atlases
        from sfumato.dreaming.feature_extractor import dream_network
        from sfumato.store import inputs
        from sfumato.store.weights import short_name

        inputs.model(network)
        with contextlib.ExitStack() as stack:

            def reserve(name: str) -> Path:
                target = out or Path(f"{short_name(network)}-{name}.png")
                paths = atlases.output_files(target)
                stack.enter_context(outputs.reserved(paths, by="features", overwrite=overwrite, reads=(network,), replaces=False))
                return target

            # The name of a layer that is not named is known only of the network.
            target = reserve(layer or "") if out or layer else None
            seeing = dream_network(network, device=device)
            target = target or reserve(seeing.usual)
            with progress(), job("channels") as done:
                images, chosen = atlases.atlas(seeing, layer, channels=channels, steps=steps, seed=seed, on_progress=done.reach)
            paths = atlases.save(images, chosen, target, seeing, layer)
        console.print(f"{len(chosen)} channels of {layer or seeing.usual}: {', '.join(map(str, paths))}", highlight=False)


def list_layers(seeing: Any) -> None:
    """A table of the layers of a network."""
    from rich.table import Table

    table = Table("layer", "channels", "stride", "looks at", title=f"{seeing.name}: --layer", title_justify="left")
    for each in seeing.listed():
        usual = " (if none is named)" if each.name == seeing.usual else ""
        table.add_row(f"{each.name}{usual}", str(each.width), f"{each.stride} px", f"{each.receptive_field} x {each.receptive_field} px")
    console.print(table)
    if seeing.classes:
        console.print(f"{len(seeing.classes)} classes for --label", highlight=False)


@contextlib.contextmanager
def _progress(preview: Path | None) -> Iterator[Any]:
    """What shows on the console how far a dream is, and in the file `preview` what it looks like."""
    from sfumato.dreaming.files import Preview

    look = Preview(preview) if preview else None

    def watch(moment: Any) -> None:
        reached(f"dreaming ({moment.amount:.3g}), step", moment.step, moment.steps)
        if look is not None:
            look(moment)

    with progress():
        yield watch


@contextlib.contextmanager
def _reserved(flags: dict[str, Any], settings: Any, network: str | None, through: str | None) -> Iterator[Any]:
    """The files that the dream goes to, checked before a network is loaded, and their reservation; pictures have theirs one by one."""
    from sfumato.core import outputs
    from sfumato.dreaming import files
    from sfumato.store import inputs

    pictures, out, preview = flags["pictures"], flags["out"], flags["preview"]
    by_seed = through is not None or not pictures
    reads = [inputs.file(flags[name]) for name in ("guide", "mask", "replay")] + [inputs.model(through), inputs.model(network)]
    if by_seed:
        targets = _targets(out or Path("dream.png"), flags["n"], settings.seed)
        paths = [path for target in targets for path in files.output_files(target)]
    elif flags["zoom"] or _is_film(pictures):
        inputs.file(pictures[0])
        paths = targets = [_film_target(flags)]
    else:
        files.planned(pictures, _pictures_target(pictures, out), overwrite=flags["overwrite"], reads=reads)
        paths = targets = []
    looks = [] if preview is None else [preview]
    for look in looks:
        files.output_files(look)
    options: Any = {"overwrite": flags["overwrite"], "reads": (*pictures, *reads)}
    # What begins with a seed is known again, and goes on where it stopped.
    with outputs.reserved(paths, by="dream", replaces=by_seed, **options) as held, outputs.reserved(looks, by="dream preview", **options):
        yield targets, held


def _film_target(flags: dict[str, Any]) -> Path:
    """Where a fall into a picture or a film goes to. Raises SettingError for a name or a rate that cannot be."""
    from sfumato.core import outputs
    from sfumato.dreaming.films import MOVING
    from sfumato.io.files import check_animation

    path = Path(flags["pictures"][0])
    if flags["zoom"]:
        target = flags["out"] or Path(f"{path.stem}-dream.gif")
        check_animation(target, flags["fps"])
        return target
    ending = path.suffix if path.suffix in (".gif", ".webp", ".mkv") else ".mp4"
    target = flags["out"] or Path(f"{path.stem}-dream{ending}")
    if path.suffix.lower() in MOVING:
        check_animation(target, 1.0)
    else:
        outputs.check_ending(target, (".mp4", ".mkv"), "films")
    return target


def _pictures_target(pictures: Names, out: Path | None) -> Path:
    alone = len(pictures) == 1 and Path(pictures[0]).is_file()
    return out or Path(f"{Path(pictures[0]).stem}-dream.png" if alone else "dreams")


def _pictures(
    pictures: Names, seeing: Any, options: Any, guide: Path | None, mask: Path | None, out: Path | None, watch: Any, *, overwrite: bool
) -> None:
    from sfumato.core.errors import ImageError
    from sfumato.dreaming.files import dream_pictures

    def report(done: Any, number: int, count: int) -> None:
        if count > 1 or done.out is not None:
            place = f"[{number}/{count}] " if count > 1 else ""
            words = f"{done.source}: {done.message} -> {done.out}" if done.out else f"failed: {done.message}"
            console.print(place + words, markup=False, highlight=False, soft_wrap=True)

    target = _pictures_target(pictures, out)
    made = dream_pictures(pictures, target, seeing, options, guide=guide, mask=mask, overwrite=overwrite, on_progress=report, watch=watch)
    if failed := [done for done in made if done.out is None]:
        raise ImageError(failed[0].message if len(made) == 1 else f"{len(failed)} of {len(made)} pictures failed")


def _report_step(target: Path, words: str) -> None:
    console.print(f"{words} -> {target}", highlight=False)


def _zoom(pictures: Names, seeing: Any, options: Any, frames: int, fps: float, guide: Path | None, target: Path) -> None:
    from sfumato.core.tensors import to_pixels
    from sfumato.dreaming.files import about, picture_of
    from sfumato.dreaming.films import falling
    from sfumato.io.files import save_animation

    shown, path = None if guide is None else picture_of(guide), Path(pictures[0])
    made = []
    with job("frames") as done, about(path):
        for i, frame in enumerate(falling(picture_of(path), seeing, options, frames=frames, guide=shown), 1):
            made.append(to_pixels(frame))
            done.reach(i, frames)
    save_animation(target, made, fps=fps)
    console.print(f"{len(made)} frames -> {target}", highlight=False)


def _film(path: Path, seeing: Any, options: Any, guide: Path | None, target: Path, *, overwrite: bool) -> None:
    from sfumato.dreaming.files import about, picture_of
    from sfumato.dreaming.films import Dreamer, dream_film

    dreamer = Dreamer(seeing, options, guide=None if guide is None else picture_of(guide))
    with job("frames") as done, about(path):
        count = dream_film(path, target, dreamer, overwrite=overwrite, on_progress=done.reach)
    console.print(f"{count} frames -> {target}", highlight=False)


def _is_film(pictures: Names) -> bool:
    from sfumato.dreaming.films import moving
    from sfumato.restoration.film import is_film

    return is_film(pictures) or (len(pictures) == 1 and moving(Path(pictures[0])))


def _targets(out: Path, n: int, seed: int) -> list[Path]:
    from sfumato.core import outputs
    from sfumato.io.files import FORMATS

    single = outputs.is_file_name(out, FORMATS)
    if n == 1:
        return [out if single else out / "dream.png"]
    if single and out != Path("dream.png"):
        raise SettingError(f"{out} is one picture and there are {n} to make; give a folder with --out")
    folder = Path("dreams") if single else out
    return [folder / f"{seed + i:05d}.png" for i in range(n)]


OCTAVES = {"octaves", "ratio", "jitter", "bands", "variation"}
SETTINGS = {"network", "layer", "label", "strength", "steps", "seed", "tile", "precision"}
ALWAYS = {"pictures", "overwrite", "out", "device", "threads"}
USED = {
    "with --layers, which only lists them": {"layers", "device", "threads"},
    "with --replay, which does what the file says": {"replay", "guide", "mask", "preview", "network", "through"},
    "through a generator": {"through", "shows", "n", "preview", *SETTINGS},
    "on a fall into a picture": {"zoom", "fps", "guide", "space", *SETTINGS, *OCTAVES},
    "on a film": {"guide", "alpha", "space", *SETTINGS, *OCTAVES},
    "on pictures": {"guide", "mask", "preview", "alpha", "space", *SETTINGS, *OCTAVES},
    "on pictures in a spectrum": {"guide", "mask", "preview", "space", *SETTINGS},
    "from noise in a spectrum": {"guide", "preview", "size", "n", "space", *SETTINGS},
    "from noise": {"guide", "preview", "size", "n", "space", *SETTINGS, *OCTAVES},
}
"""Which flags have an effect, by what is done."""


def _check(flags: dict[str, Any]) -> None:
    """Raises SettingError for flags that have no effect on what is done, and for files that would be lost."""
    mode = _mode(flags)
    usual = {name: parameter.default for name, parameter in inspect.signature(dream).parameters.items()}
    idle = [name for name, value in flags.items() if value != usual[name] and name not in USED[mode] | ALWAYS]
    if flags["pictures"] and flags["through"]:
        raise SettingError(
            "--through begins with an image of the generator; leave the pictures out (`sfumato project` finds one for a picture)"
        )
    if idle:
        raise SettingError(f"--{idle[0]} has no effect {mode}; leave it out")
    if flags["zoom"] and len(flags["pictures"]) != 1:
        raise SettingError("--zoom falls into one picture; give one")
    if flags["n"] < 1:
        raise SettingError(f"n = {flags['n']} must be at least 1")
    look: Path | None = flags["preview"]
    if look is not None and look.resolve() in {
        Path(each).resolve() for each in (*flags["pictures"], flags["guide"], flags["mask"]) if each
    }:
        raise SettingError(f"--preview {look} would be written over a picture that is read; choose another name")


def _mode(flags: dict[str, Any]) -> str:
    """What is done, as a key of USED."""
    for flag, mode in zip(("layers", "replay", "through", "zoom"), USED, strict=False):
        if flags[flag]:
            return mode
    if not flags["pictures"]:
        return "from noise" if flags["space"] == "pixels" else "from noise in a spectrum"
    if _is_film(flags["pictures"]):
        return "on a film"
    return "on pictures in a spectrum" if flags["space"] == "fourier" else "on pictures"


def _size(text: str) -> tuple[int, int]:
    """`224x320` as height and width. Raises SettingError for anything else."""
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.strip().isdecimal() and 0 < int(part) <= 16384 for part in parts):
        raise SettingError(f"size = {text!r} cannot be read; write 224, or 224x320 for a height of 224 and a width of 320, at most 16384")
    return int(parts[0]), int(parts[-1])


VERBS = (dream, features)
