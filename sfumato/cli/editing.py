"""The verbs that edit: walks and mixtures between images of a generator, projection of a picture, directions, edits and drags."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Device, File, Label, Model, Overwrite, Threads, Truncation, machine
from sfumato.core import flags
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

if TYPE_CHECKING:
    from sfumato.editing.latent_image import StartRow

DIRECTIONS = Path("directions.safetensors")
COUNT = 8


def interpolate(
    model: Model,
    *,
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    steps: Annotated[int, Range(1, 1e9, "frames")] = 24,
    label: str | None = None,
    truncation: Truncation = 1.0,
    space: Literal["z", "w"] = "z",
    even: bool = False,
    loop: bool = True,
    fps: float = 24.0,
    enlarge: Annotated[int, Range(1, 1e9)] = 4,
    out: Path = Path("walk.gif"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make a film that walks through latent space from seed to seed.

    Args:
        seeds: Seeds of the images on the way; at least two.
        steps: Number of frames from one seed to the next.
        label: Class of the images, by name. Default: the class of the first seed.
        space: Space of the walk: z for great circles between latents, w for straight lines between styles.
        even: Place the frames so that each differs equally from the one before. The images of the seeds then lie between frames.
        loop: Return to the first seed at the end.
        fps: Frames per second; at most 50 for .gif.
        enlarge: Factor that enlarges each pixel.
        out: The film: .gif, .webp or .mp4. A .mp4 needs the extra video.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.generation import interpolate as job
        from sfumato.store.weights import existing_model

        walk = functools.partial(job.interpolate, label=label, truncation=truncation, space=space, even=even, loop=loop, device=device)
        paths = job.output_files(out, fps=fps, enlarge=enlarge)
        with outputs.reserved(paths, by="interpolate", overwrite=overwrite, reads=(existing_model(model),)):
            frames = walk(model, seeds, steps=steps)
            console.print(f"{len(frames)} frames in {job.save(frames, out, fps=fps, enlarge=enlarge)}", highlight=False)


def mix(
    model: Model,
    *,
    rows: tuple[int, ...] = (0, 1, 2, 3),
    columns: tuple[int, ...] = (4, 5, 6, 7),
    layers: str | None = None,
    label: str | None = None,
    truncation: Truncation = 1.0,
    out: Path = Path("mix.png"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Mix the styles of two sets of images, layer by layer.

    Each image of the sheet has the styles of its row, except in --layers, where it has the styles of its column. MODEL must be a network
    with a style for each layer.

    Args:
        rows: Seeds of the rows.
        columns: Seeds of the columns.
        layers: Layers that take the styles of the columns, from coarse to fine, such as 0-3 or 5. Default: the coarser half.
        label: Class of the images, by name. Default: each seed has the class that it draws, and a mixture has the class of its row.
        out: The picture of all mixtures.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.editing import mix as job
        from sfumato.store.weights import existing_model

        span = None if layers is None else flags.span(layers)
        with outputs.reserved(job.output_files(out), by="mix", overwrite=overwrite, reads=(existing_model(model),)):
            images = job.mix(model, rows, columns, layers=span, label=label, truncation=truncation, device=device)
            console.print(f"{len(rows)} x {len(columns)} mixtures in {job.save(images, out, columns=len(columns))}", highlight=False)


def project(
    model: Model,
    picture: File,
    *,
    steps: Annotated[int, Range(1, 1e9, "steps")] = 300,
    label: str | None = None,
    layers: bool = True,
    noise: bool = True,
    features: str | None = None,
    seed: int = 0,
    out: Path | None = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Find the styles with which a model comes nearest to a picture.

    The result is a .safetensors file of styles for `sfumato edit` and `sfumato drag`, a .png to look at, and a .json with the figures.

    Args:
        picture: A picture file. Its middle is cut to the shape of the images of the model.
        steps: Number of steps of the search.
        label: Class of the image, by name. Default: the class whose images come nearest.
        layers: Give each layer a style of its own at the end. The image comes nearer to the picture and is harder to edit.
        noise: Fit the noise inputs too, if the model has noise inputs.
        features: Network whose layers are compared, beside the pixels. Default: the pixels alone.
        seed: Seed of the search.
        out: The file of styles. Default: the name of the picture with -projected behind it, such as shoe-projected.safetensors.

    """
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.editing import inversion as job
        from sfumato.generation import generate
        from sfumato.store.weights import existing_model

        target = out or Path(Path(picture).stem + "-projected.safetensors")
        search = functools.partial(job.project, layers=layers, noise=noise, features=features, seed=seed, device=device)
        reads = (existing_model(model), inputs.file(picture), existing_model(features))
        with outputs.reserved(job.output_files(target, picture), by="project", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            projection = search(network, picture, steps=steps, label=label)
            paths = job.save(projection, target, network)
        console.print(f"{projection.psnr:.1f} dB from the picture: {', '.join(map(str, paths))}", highlight=False)


def directions(
    model: Model,
    *,
    method: Literal["principal", "closed-form", "jacobian"] = "principal",
    count: int = COUNT,
    examples: tuple[str, str] | None = None,
    name: str | None = None,
    features: str | None = None,
    layers: str | None = None,
    label: str | None = None,
    seed: int = 0,
    out: Path = DIRECTIONS,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Find latent directions, each of which changes images in one way.

    The result is a .safetensors file for `sfumato edit`, a contact sheet, and a .json with the names of the directions.

    Args:
        method: Method of the search: principal components of the styles; closed-form, from the weights of the layers; or jacobian, the
            directions that change the images most.
        count: Number of directions, from 1 to the length of a style.
        examples: Two folders of pictures. The one direction then leads from the pictures of the first to those of the second folder.
            Default: no examples; --method finds the directions.
        name: Name of the direction of --examples. Default: a name from the measured change.
        features: Network whose features tell the two folders of --examples apart. Default: the pixels, averaged to 8 x 8.
        layers: Layers that the directions move, from coarse to fine, such as 0-3 or 5. Default: all.
        label: Class of the images, by name. Default: all classes.
        seed: Seed of the images that are measured.
        out: The file of directions.

    """
    if examples is None and (name or features):
        raise SettingError("--name and --features have no effect without --examples; give two folders, or leave them out")
    if examples is not None:
        _refuse_unused("with --examples", method=method != "principal", count=count != COUNT)
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.data.scenes import existing_data
        from sfumato.editing import directions as job
        from sfumato.editing.examples import from_examples
        from sfumato.generation import generate
        from sfumato.store.weights import existing_model

        span = None if layers is None else flags.span(layers)
        reads = (existing_model(model), existing_model(features), *map(existing_data, examples or ()))
        with outputs.reserved(job.output_files(out), by="directions", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            if examples is None:
                axes = job.directions(network, method, count=count, layers=span, label=label, seed=seed, device=device)
            else:
                axes = from_examples(network, *examples, name=name, features=features, layers=span, label=label, seed=seed, device=device)
            paths = job.save(axes, out, network)
        for i, (axis, strength) in enumerate(zip(axes.names, axes.strengths, strict=True)):
            console.print(f"{i:3} {axis} ({strength:.1%})" if examples is None else axis, highlight=False)
        console.print(f"directions: {', '.join(map(str, paths))}", highlight=False)


def edit(
    model: Model,
    *,
    moves: tuple[str, ...] = (),
    directions: Path = DIRECTIONS,
    seed: int = 0,
    styles: Path | None = None,
    label: Label = None,
    truncation: Truncation = 1.0,
    replay: Path | None = None,
    out: Path = Path("edit.png"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Move an image along latent directions.

    The result is a picture, and a .json beside it with which --replay repeats the edit exactly.

    Args:
        moves: Directions and how far to move along each: brighter=2, or 3=-1.5@0-4 for direction 3 in the layers 0 to 4 alone. The unit is
            the standard deviation of the styles of the model. Default: none; --replay names an earlier edit.
        directions: The file that `sfumato directions` wrote.
        seed: Seed of the image to edit.
        styles: Styles to edit instead of a seed: the file that `sfumato project` or `sfumato drag` wrote. Default: those of --seed.
        replay: The .json of an earlier edit, to repeat it. --styles then tells where its file of styles is now. Default: none.
        out: The picture.

    """
    if replay is not None:
        image = {"seed": seed != 0, "label": label is not None, "truncation": truncation != 1}
        way = {"moves": bool(moves), "directions": directions != DIRECTIONS}
        _refuse_unused("with --replay, which takes all of them from the file", **image, **way)
    elif not moves:
        raise SettingError(
            "--moves is empty, so there is nothing to do; give --moves such as brighter=2, or --replay with a .json of an edit"
        )
    start: StartRow = _start(seed, styles, label, truncation) if replay is None else {}
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.editing import directions as axes
        from sfumato.editing import edit as job
        from sfumato.generation import generate
        from sfumato.store.weights import existing_model

        reads = [existing_model(model), inputs.file(directions if replay is None else None, made_by="directions")]
        reads += [inputs.file(styles, made_by="project"), inputs.file(replay, made_by="edit")]
        with outputs.reserved(job.output_files(out), by="edit", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            if replay is not None:
                result, record = job.replay(network, replay, styles=styles, device=device)
            else:
                record, parsed = start, job.parse_moves(axes.load(directions, network), moves)
                result = job.edit(network, job.begun(network, start), parsed, device=device)
            console.print(f"edit: {', '.join(map(str, job.save(result, out, network, start=record)))}", highlight=False)


def drag(
    model: Model,
    *,
    points: tuple[str, ...],
    seed: int = 0,
    styles: Path | None = None,
    label: Label = None,
    truncation: Truncation = 1.0,
    mask: Path | None = None,
    layers: str | None = None,
    steps: Annotated[int, Range(1, 1e9, "steps")] = 100,
    out: Path = Path("drag.png"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Drag points of an image to other places.

    The result stays an image of the model: a picture of before and after, and a .safetensors file of its styles.

    Args:
        points: Points and their targets: 20,30:30,30 moves the pixel in column 20 of row 30 to column 30 of that row.
        seed: Seed of the image to change.
        styles: Styles to change instead of a seed: the file that `sfumato project` or `sfumato drag` wrote. Default: those of --seed.
        mask: A picture, white where the image may change. Default: everywhere.
        layers: Layers whose styles move, from coarse to fine, such as 0-3. Default: the coarser half.
        steps: Largest number of steps.
        out: The picture; the file of styles lies beside it.

    """
    start = _start(seed, styles, label, truncation)
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.editing import drag as job
        from sfumato.editing import edit
        from sfumato.generation import generate
        from sfumato.store.weights import existing_model

        begin, ends = job.parse_moves(points)
        span = None if layers is None else flags.span(layers)
        reads = (existing_model(model), inputs.file(styles, made_by="project"), inputs.file(mask))
        with outputs.reserved(job.output_files(out), by="drag", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            area = None if mask is None else job.mask_of(mask, network)
            result = job.drag(network, edit.begun(network, start), begin, ends, steps=steps, mask=area, layers=span, device=device)
            paths = job.save(result, out, network)
        console.print(f"{result.distance:.1f} px from the target after {result.steps} steps: {', '.join(map(str, paths))}", highlight=False)


def _start(seed: int, styles: Path | None, label: str | None, truncation: float) -> "StartRow":
    """The image that an edit begins with, as the edit writes it down. Raises SettingError for flags that --styles leaves no effect."""
    if styles is None:
        return {"seed": seed, "label": label, "truncation": truncation}
    _refuse_unused("with --styles, which names an image already", seed=seed != 0, label=label is not None, truncation=truncation != 1)
    return {"styles": str(styles)}


def _refuse_unused(condition: str, **is_set: bool) -> None:
    """Raises SettingError for the flags that are set and have no effect under this `condition`."""
    names = [f"--{name}" for name, value in is_set.items() if value]
    if names:
        verb, pronoun = ("has", "it") if len(names) == 1 else ("have", "them")
        raise SettingError(f"{' and '.join(names)} {verb} no effect {condition}; leave {pronoun} out")


VERBS = (interpolate, mix, project, directions, edit, drag)
