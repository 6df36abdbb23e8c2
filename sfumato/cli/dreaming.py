"""The verbs that dream: `dream` and `features`."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sfumato.cli import dream_flags
from sfumato.cli.batches import Jobs, On, Shard, show_failures
from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Device, Pictures, Precision, Threads, machine, progress
from sfumato.core.config import Range
from sfumato.core.errors import SettingError
from sfumato.core.progress import job, reached

Names = tuple[str, ...]
Network = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(metavar="NETWORK", help="squeezenet, alexnet, vgg16, googlenet, inception, or a model of yours."),
]


def dream(
    pictures: Pictures = (),
    *,
    network: str | None = None,
    layer: Names = (),
    label: str = "",
    guide: Path | None = None,
    mask: Path | None = None,
    strength: Annotated[float, Range(0, 100)] = 1.0,
    steps: Annotated[int, Range(0, 100_000, "steps")] = 0,
    octaves: Annotated[int, Range(1, 16, "sizes")] = 4,
    ratio: Annotated[float, Range(1.05, 4)] = 1.4,
    jitter: Annotated[int, Range(0, 1024, "pixels")] = 32,
    bands: Annotated[int, Range(1, 10, "octaves")] = 4,
    variation: Annotated[float, Range(0, 10)] = 0.0,
    alpha: Annotated[float, Range(0, 1000)] = 0.0,
    space: Literal["auto", "pixels", "fourier"] = "auto",
    size: str = "224x224",
    n: Annotated[int, Range(1, 1e9, "images"), tyro.conf.arg(aliases=["-n"])] = 1,
    seed: Annotated[int, Range(0, 2**31)] = 0,
    through: str | None = None,
    shows: str | None = None,
    zoom: Annotated[int, Range(0, 1e9, "frames")] = 0,
    fps: float = 12.0,
    replay: Path | None = None,
    layers: str | None = None,
    preview: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    tile: Annotated[int, Range(0, 100_000, "pixels")] = 0,
    precision: Precision = "auto",
    jobs: Jobs = None,
    shard: Shard = "",
    on: On = "",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Amplify in a picture what a network sees in it (DeepDream).

    Without a picture, the dream begins with noise. The result is a .png, and a .json with all settings for --replay.

    Args:
        pictures: Pictures, folders, glob patterns, lists (@list.txt), tar shards, addresses (s3://bucket/folder), or one film. Default:
            none; the dream begins with noise.
        network: Network that looks at the picture: squeezenet, alexnet, vgg16, googlenet, inception, or a model of yours. Default:
            squeezenet if its weights are at hand, else a bundled classifier.
        layer: Layers to amplify: fire7, fire7=0.5 (with a weight), fire8:12,40 (two channels) or fire8:12@3,4 (one place of a channel).
            Default: a layer in the middle of the network.
        label: Class to show, by name or number. Default: none; --layer decides.
        guide: A picture whose forms appear in the result. Default: none.
        mask: A picture of the same size, white where the picture may change. Default: everywhere.
        strength: Step size; 1 changes a pixel by 1.5 of 255 on average.
        steps: Number of steps. 0 takes 10 for each octave, 256 with --space fourier, and 100 with --through.
        octaves: Number of sizes, from small to large. More sizes give larger forms.
        ratio: Ratio of one size to the size before.
        jitter: Largest random shift of the picture before each step.
        bands: Number of frequency bands of the gradient that get equal strength. 1 keeps the gradient, which is rough.
        variation: Weight of the total variation, relative to the gradient. More gives smoother pictures.
        alpha: Activation to reach, as a multiple of the activation of the picture. The result then stays as near to the picture as
            possible; 0 has no such limit.
        space: Space of the optimisation: pixels, in octaves; or fourier, the spectrum, which stays smooth. auto takes pixels for a picture
            and fourier for noise.
        size: Height and width of a dream from noise, in pixels.
        n: Number of dreams from noise or through a generator; they have the seeds from --seed on.
        seed: Seed of the noise and of the random shifts.
        through: Generator whose styles move instead of pixels, so that the result stays one of its images. Default: none.
        shows: Class of the image of that generator, by name. Default: each seed has the class that it draws.
        zoom: Number of frames of a film that falls into the picture; 0 makes no film.
        fps: Frames per second of that film; at most 50 for .gif.
        replay: The .json or .png of an earlier dream, to repeat it. --network and --through tell where its models are now. Default: none.
        layers: Only list the layers of this network. Default: none.
        preview: A picture file that shows the dream while it grows. Default: none.
        out: A picture, a folder for several pictures, or a .gif, .webp or .mp4 for a film. Default: the name of the picture with -dream
            behind it; dream.png or the folder dreams for noise.
        overwrite: Replace files that stand at --out already.
        tile: Side of the tiles in which a picture is computed. 0 takes tiles only for large pictures.

    """
    flags = dict(locals())
    with machine(threads):
        from sfumato.dreaming.feature_extractor import dream_network

        dream_flags.check(flags, dream)
        if layers is not None:
            list_layers(dream_network(layers, device=device))
        else:
            _dream(flags, _request(flags))


def features(
    network: Network,
    *,
    layer: str | None = None,
    channels: tuple[int, ...] = (),
    steps: Annotated[int, Range(0, 100_000, "steps")] = 96,
    seed: Annotated[int, Range(0, 2**31)] = 0,
    out: Path | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Draw the image that each channel of a layer responds to most.

    All images of the layer are on one sheet, with the numbers of their channels.

    Args:
        layer: The layer. Default: a layer in the middle of the network. `sfumato dream --layers NETWORK` lists all layers.
        channels: Numbers of the channels. Default: all.
        steps: Number of steps for each image; 0 takes 256.
        seed: Seed of the noise that each image begins with.
        out: The sheet. Default: the names of the network and of the layer, such as squeezenet-fire5.png.
        overwrite: Replace files that stand at --out already.

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
                """The sheet of the layer called `name`, checked and reserved."""
                target = out or Path(f"{short_name(network)}-{name}.png")
                paths = atlases.output_files(target)
                stack.enter_context(outputs.reserved(paths, by="features", overwrite=overwrite, reads=(network,), replaces=False))
                return target

            # Only the network knows the name of its usual layer.
            target = reserve(layer or "") if out or layer else None
            extractor = dream_network(network, device=device)
            target = target or reserve(extractor.usual)
            with progress(), job("channels") as counter:
                images, numbers = atlases.atlas(extractor, layer, channels=channels, steps=steps, seed=seed, on_progress=counter.reach)
            paths = atlases.save(images, numbers, target, extractor, layer)
        console.print(f"{len(numbers)} channels of {layer or extractor.usual}: {', '.join(map(str, paths))}", highlight=False)


@dataclasses.dataclass(frozen=True)
class _Request:
    """What a command dreams."""

    options: Any
    network: str | None
    through: str | None
    shows: str | None
    size: tuple[int, int]
    """Height and width of a dream from noise."""
    record: dict[str, Any]
    """What the file of --replay says; empty without one."""


def _request(flags: dict[str, Any]) -> _Request:
    """What the flags ask for. Raises SettingError for a size or a setting that cannot be, CheckpointError for a file without a dream."""
    from sfumato.dreaming import dream as dreams
    from sfumato.dreaming import files

    network, through, size = flags["network"], flags["through"], flags["size"]
    if flags["replay"] is None:
        names = [field.name for field in dataclasses.fields(dreams.Dream) if field.name != "layers"]
        options = dreams.Dream(layers=flags["layer"], **{name: flags[name] for name in names})
        return _Request(options, network, through, flags["shows"], dream_flags.size(size), {})
    name, options, record = files.replayed(flags["replay"])
    generator = record.get("through")
    if through and generator is None:
        raise SettingError(f"--through {through} has no effect on that dream, which went through no generator; leave it out")
    through = through or (generator and files.near(generator, "--through"))
    if "size" in record:
        size = "x".join(map(str, record["size"]))
    return _Request(options, network or files.near(name, "--network"), through, record.get("shows"), dream_flags.size(size), record)


def _dream(flags: dict[str, Any], request: _Request) -> None:
    """Dreams, once the files that the dream goes to are reserved."""
    from sfumato.dreaming import files
    from sfumato.dreaming.feature_extractor import dream_network

    pictures, guide, mask = flags["pictures"], flags["guide"], flags["mask"]
    with _reserved(flags, request) as (targets, held), _progress(flags["preview"]) as watch:
        extractor = dream_network(request.network, device=flags["device"], on_progress=lambda words: console.print(words, highlight=False))
        if flags["replay"] is not None:
            files.complete(request.record, extractor, pictures, guide=guide, mask=mask)
        if request.through is not None or not pictures:
            _seeds(extractor, request, targets, held, watch, guide=guide, overwrite=flags["overwrite"])
        elif flags["zoom"]:
            _zoom(pictures, extractor, request.options, flags["zoom"], flags["fps"], guide, targets[0])
        elif dream_flags.is_film(pictures):
            _film(Path(pictures[0]), extractor, request.options, guide, targets[0], overwrite=flags["overwrite"])
        else:
            _pictures(flags, extractor, request.options, watch)


def list_layers(extractor: Any) -> None:
    """Prints a table of the layers of a network."""
    from rich.table import Table

    table = Table("layer", "channels", "stride", "looks at", title=f"{extractor.name}: --layer", title_justify="left")
    for layer in extractor.listed():
        usual = " (if none is named)" if layer.name == extractor.usual else ""
        field = f"{layer.receptive_field} x {layer.receptive_field} px"
        table.add_row(f"{layer.name}{usual}", str(layer.width), f"{layer.stride} px", field)
    console.print(table)
    if extractor.classes:
        console.print(f"{len(extractor.classes)} classes for --label", highlight=False)


@contextlib.contextmanager
def _progress(preview: Path | None) -> Iterator[Any]:
    """A callback that shows on the console how far a dream is, and in the file `preview` the image so far."""
    from sfumato.dreaming.files import Preview

    look = Preview(preview) if preview else None

    def watch(moment: Any) -> None:
        """Shows one step."""
        reached(f"dreaming ({moment.amount:.3g}), step", moment.step, moment.steps)
        if look is not None:
            look(moment)

    with progress():
        yield watch


@contextlib.contextmanager
def _reserved(flags: dict[str, Any], request: _Request) -> Iterator[Any]:
    """The files that the dream goes to, checked before a network is loaded, and their reservation; pictures have theirs one by one."""
    from sfumato.core import outputs
    from sfumato.dreaming import files
    from sfumato.store import inputs

    pictures, out, zoom = flags["pictures"], flags["out"], flags["zoom"]
    by_seed = request.through is not None or not pictures
    reads = [inputs.file(flags[name]) for name in ("guide", "mask", "replay")] + [
        inputs.model(request.through),
        inputs.model(request.network),
    ]
    if by_seed:
        targets = dream_flags.seed_targets(out, flags["n"], request.options.seed)
        paths = [path for target in targets for path in files.output_files(target)]
    elif zoom or dream_flags.is_film(pictures):
        inputs.file(pictures[0])
        paths = targets = [dream_flags.film_target(pictures, out, zoom=zoom, fps=flags["fps"])]
    else:
        files.planned(pictures, dream_flags.pictures_target(pictures, out), overwrite=flags["overwrite"], reads=reads)
        paths = targets = []
    looks = [] if flags["preview"] is None else [flags["preview"]]
    for look in looks:
        files.output_files(look)
    options: Any = {"overwrite": flags["overwrite"], "reads": (*pictures, *reads)}
    # A dream that begins with a seed is recognised by its record, and an interrupted command continues.
    with outputs.reserved(paths, by="dream", replaces=by_seed, **options) as held, outputs.reserved(looks, by="dream preview", **options):
        yield targets, held


def _seeds(extractor: Any, request: _Request, targets: list[Path], held: Any, watch: Any, *, guide: Path | None, overwrite: bool) -> None:
    """Dreams from noise or through a generator, one of the `targets` after another."""
    from sfumato.dreaming import seeds

    options: Any = {"overwrite": overwrite, "watch": watch, "on_progress": lambda target, words: say(f"{words} -> {target}")}
    if request.through is not None:
        seeds.dream_styles(request.through, extractor, request.options, targets, held, shows=request.shows, **options)
    else:
        seeds.dream_noise(extractor, request.options, targets, held, size=request.size, guide=guide, **options)


def _pictures(flags: dict[str, Any], extractor: Any, options: Any, watch: Any) -> None:
    """Dreams the pictures one by one. Raises ImageError if one failed."""
    from sfumato.batch.workers import Workers
    from sfumato.core.errors import ImageError
    from sfumato.dreaming.files import dream_pictures

    def report(result: Any, number: int, count: int) -> None:
        """Prints the line of one picture; a single picture that failed is the error of the command."""
        if count > 1 or result.out is not None:
            place = f"[{number}/{count}] " if count > 1 else ""
            say(place + (f"{result.source}: {result.message} -> {result.out}" if result.out else f"failed: {result.message}"))

    target = dream_flags.pictures_target(flags["pictures"], flags["out"])
    others: Any = {name: flags[name] for name in ("guide", "mask", "overwrite")}
    workers = Workers(jobs=flags["jobs"], shard=flags["shard"], on=flags["on"])
    results = dream_pictures(flags["pictures"], target, extractor, options, workers=workers, on_progress=report, watch=watch, **others)
    if not results:
        say("no picture belongs to this shard")
    if failed := [result for result in results if result.out is None]:
        show_failures([(result.source, result.message) for result in failed])
        raise ImageError(failed[0].message if len(results) == 1 else f"{len(failed)} of {len(results)} pictures failed")


def _zoom(pictures: Names, extractor: Any, options: Any, count: int, fps: float, guide: Path | None, target: Path) -> None:
    """Writes a film of `count` frames that falls into the one picture."""
    from sfumato.core.tensors import to_pixels
    from sfumato.dreaming.files import about, picture_of
    from sfumato.dreaming.films import falling
    from sfumato.io.files import save_animation

    forms, path = None if guide is None else picture_of(guide), Path(pictures[0])
    frames = []
    with job("frames") as counter, about(path):
        for i, frame in enumerate(falling(picture_of(path), extractor, options, frames=count, guide=forms), 1):
            frames.append(to_pixels(frame))
            counter.reach(i, count)
    save_animation(target, frames, fps=fps)
    console.print(f"{len(frames)} frames -> {target}", highlight=False)


def _film(path: Path, extractor: Any, options: Any, guide: Path | None, target: Path, *, overwrite: bool) -> None:
    """Dreams a film frame by frame."""
    from sfumato.dreaming.files import about, picture_of
    from sfumato.dreaming.films import Dreamer, dream_film

    dreamer = Dreamer(extractor, options, guide=None if guide is None else picture_of(guide))
    with job("frames") as counter, about(path):
        count = dream_film(path, target, dreamer, overwrite=overwrite, on_progress=counter.reach)
    console.print(f"{count} frames -> {target}", highlight=False)


VERBS = (dream, features)
