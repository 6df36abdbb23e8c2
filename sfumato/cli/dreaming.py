"""The verbs that dream: `dream` and `features`."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from sfumato.batch.workers import Workers
from sfumato.cli import dream_flags
from sfumato.cli.batches import Jobs, On, Shard, show_failures
from sfumato.cli.dream_flags import DreamFlags
from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Device, Pictures, Precision, Threads, machine, progress
from sfumato.core.config import Range
from sfumato.core.errors import SettingError
from sfumato.core.progress import job, reached

if TYPE_CHECKING:
    from sfumato.core.outputs import Reservation
    from sfumato.dreaming.dream import Dream, Moment
    from sfumato.dreaming.dream import Tell as OnStep
    from sfumato.dreaming.feature_extractor import DreamNetwork
    from sfumato.dreaming.files import Done, DreamRecord

Names = tuple[str, ...]
Network = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(metavar="NETWORK", help="squeezenet, alexnet, vgg16, googlenet, inception, or a model of yours."),
]


def dream(
    pictures: Pictures = (),
    *,
    flags: DreamFlags,
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
        out: A picture, a folder for several pictures, or a .gif, .webp or .mp4 for a film. Default: the name of the picture with -dream
            behind it; dream.png or the folder dreams for noise.
        overwrite: Replace files that stand at --out already.
        tile: Side of the tiles in which a picture is computed. 0 takes tiles only for large pictures.

    """
    with machine(threads):
        from sfumato.dreaming.feature_extractor import dream_network

        workers = Workers(jobs=jobs, shard=shard, on=on)
        dream_flags.check(flags, pictures, workers, tile=tile, precision=precision)
        if flags.layers is not None:
            list_layers(dream_network(flags.layers, device=device))
        else:
            command = _Command(pictures=pictures, flags=flags, workers=workers, out=out, overwrite=overwrite, device=device)
            _dream(command, _request(flags, tile=tile, precision=precision))


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
        from sfumato.store.weights import existing_model, short_name

        existing_model(network)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Command:
    """The flags of a command beside the settings of the dream."""

    pictures: Names
    flags: DreamFlags
    workers: Workers
    out: Path | None
    overwrite: bool
    device: str


@dataclasses.dataclass(frozen=True)
class _Request:
    """The dream of a command."""

    options: "Dream"
    network: str | None
    through: str | None
    shows: str | None
    size: tuple[int, int]
    """Height and width of a dream from noise."""
    record: "DreamRecord | None"
    """The record in the file of --replay; None without one."""


def _request(flags: DreamFlags, *, tile: int, precision: Precision) -> _Request:
    """The dream of these flags. Raises SettingError for a size or a setting that cannot be, CheckpointError for a file without a dream."""
    from sfumato.dreaming import files

    if flags.replay is None:
        settings = flags.settings(tile=tile, precision=precision)
        return _Request(settings, flags.network, flags.through, flags.shows, dream_flags.size(flags.size), None)
    options, record = files.replayed(flags.replay)
    generator = record.get("through")
    if flags.through and generator is None:
        raise SettingError(f"--through {flags.through} has no effect on that dream, which went through no generator; leave it out")
    through = flags.through or (generator and files.near(generator, "--through"))
    height, width = record["size"] if "size" in record else dream_flags.size(flags.size)
    network = flags.network or files.near(record["network"], "--network")
    return _Request(options, network, through, record.get("shows"), (height, width), record)


def _dream(command: _Command, request: _Request) -> None:
    """Dreams, once the files that the dream goes to are reserved."""
    from sfumato.dreaming import files
    from sfumato.dreaming.feature_extractor import dream_network

    pictures, flags = command.pictures, command.flags
    with _reserved(command, request) as (targets, held), _progress(flags.preview) as watch:
        extractor = dream_network(request.network, device=command.device, on_progress=lambda words: console.print(words, highlight=False))
        if request.record is not None:
            files.complete(request.record, extractor, pictures, guide=flags.guide, mask=flags.mask)
        if request.through is not None or not pictures:
            _seeds(extractor, request, targets, held, watch, guide=flags.guide, overwrite=command.overwrite)
        elif flags.zoom:
            _zoom(pictures, extractor, request.options, flags.zoom, flags.fps, flags.guide, targets[0])
        elif dream_flags.is_film(pictures):
            _film(Path(pictures[0]), extractor, request.options, flags.guide, targets[0], overwrite=command.overwrite)
        else:
            _pictures(command, extractor, request.options, watch)


def list_layers(extractor: "DreamNetwork") -> None:
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
def _progress(preview: Path | None) -> "Iterator[OnStep]":
    """A callback that shows on the console how far a dream is, and in the file `preview` the image so far."""
    from sfumato.dreaming.files import Preview

    look = Preview(preview) if preview else None

    def watch(moment: "Moment") -> None:
        """Shows one step."""
        reached(f"dreaming ({moment.amount:.3g}), step", moment.step, moment.steps)
        if look is not None:
            look(moment)

    with progress():
        yield watch


@contextlib.contextmanager
def _reserved(command: _Command, request: _Request) -> "Iterator[tuple[list[Path], Reservation]]":
    """The files that the dream goes to, checked before a network is loaded, and their reservation; pictures have theirs one by one."""
    from sfumato.core import inputs, outputs
    from sfumato.dreaming import files
    from sfumato.store.weights import existing_model

    pictures, flags, out = command.pictures, command.flags, command.out
    by_seed = request.through is not None or not pictures
    reads = [
        *(inputs.file(path) for path in (flags.guide, flags.mask, flags.replay)),
        existing_model(request.through),
        existing_model(request.network),
    ]
    if by_seed:
        targets = dream_flags.seed_targets(out, flags.n, request.options.seed)
        paths = [path for target in targets for path in files.output_files(target)]
    elif flags.zoom or dream_flags.is_film(pictures):
        inputs.file(pictures[0])
        paths = targets = [dream_flags.film_target(pictures, out, zoom=flags.zoom, fps=flags.fps)]
    else:
        files.planned(pictures, dream_flags.pictures_target(pictures, out), overwrite=command.overwrite, reads=reads)
        paths = targets = []
    looks = [] if flags.preview is None else [flags.preview]
    for look in looks:
        files.output_files(look)
    reserve = functools.partial(outputs.reserved, overwrite=command.overwrite, reads=(*pictures, *reads))
    # A dream that begins with a seed is recognised by its record, and an interrupted command continues.
    with reserve(paths, by="dream", replaces=by_seed) as held, reserve(looks, by="dream preview"):
        yield targets, held


def _seeds(
    extractor: "DreamNetwork",
    request: _Request,
    targets: list[Path],
    held: "Reservation",
    watch: "OnStep",
    *,
    guide: Path | None,
    overwrite: bool,
) -> None:
    """Dreams from noise or through a generator, one of the `targets` after another."""
    from sfumato.dreaming import seeds

    def report(target: Path, words: str) -> None:
        say(f"{words} -> {target}")

    options = request.options
    if request.through is None:
        noise = functools.partial(seeds.dream_noise, extractor, options, targets, held, size=request.size, guide=guide)
        noise(overwrite=overwrite, watch=watch, on_progress=report)
    else:
        styles = functools.partial(seeds.dream_styles, request.through, extractor, options, targets, held, shows=request.shows)
        styles(overwrite=overwrite, watch=watch, on_progress=report)


def _pictures(command: _Command, extractor: "DreamNetwork", options: "Dream", watch: "OnStep") -> None:
    """Dreams the pictures one by one. Raises ImageError if one failed."""
    from sfumato.core.errors import ImageError
    from sfumato.dreaming.files import dream_pictures

    def report(result: "Done", number: int, count: int) -> None:
        """Prints the line of one picture; a single picture that failed is the error of the command."""
        if count > 1 or result.out is not None:
            place = f"[{number}/{count}] " if count > 1 else ""
            say(place + (f"{result.source}: {result.message} -> {result.out}" if result.out else f"failed: {result.message}"))

    flags, target = command.flags, dream_flags.pictures_target(command.pictures, command.out)
    dream_all = functools.partial(dream_pictures, command.pictures, target, extractor, options, guide=flags.guide, mask=flags.mask)
    results = dream_all(overwrite=command.overwrite, workers=command.workers, on_progress=report, watch=watch)
    if not results:
        say("no picture belongs to this shard")
    if failed := [result for result in results if result.out is None]:
        show_failures([(result.source, result.message) for result in failed])
        raise ImageError(failed[0].message if len(results) == 1 else f"{len(failed)} of {len(results)} pictures failed")


def _zoom(pictures: Names, extractor: "DreamNetwork", options: "Dream", count: int, fps: float, guide: Path | None, target: Path) -> None:
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


def _film(path: Path, extractor: "DreamNetwork", options: "Dream", guide: Path | None, target: Path, *, overwrite: bool) -> None:
    """Dreams a film frame by frame."""
    from sfumato.dreaming.files import about, picture_of
    from sfumato.dreaming.films import Dreamer, dream_film

    dreamer = Dreamer(extractor, options, guide=None if guide is None else picture_of(guide))
    with job("frames") as counter, about(path):
        count = dream_film(path, target, dreamer, overwrite=overwrite, on_progress=counter.reach)
    console.print(f"{count} frames -> {target}", highlight=False)


VERBS = (dream, features)
