"""The verbs that edit: everything between two images of a generator, or between an image and what one would rather have."""

from pathlib import Path
from typing import Any, Literal

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Device, File, Model, machine
from sfumato.core import flags

DIRECTIONS = Path("directions.safetensors")
COUNT = 8


def interpolate(
    model: Model,
    *,
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    steps: int = 24,
    label: str | None = None,
    truncation: float = 1.0,
    space: Literal["z", "w"] = "z",
    even: bool = False,
    loop: bool = True,
    fps: float = 24.0,
    enlarge: int = 4,
    overwrite: bool = False,
    out: Path = Path("walk.gif"),
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Walk through latent space from seed to seed, as a .gif, .webp or .mp4.

    Args:
        model: A bundled model, a run folder or a model file.
        seeds: Where the walk passes.
        steps: Frames from one seed to the next.
        label: Class to show, by name.
        truncation: How far from the mean image: 0 is that image, 1 as trained.
        space: z for great circles among latents, w for straight lines among styles.
        even: Change the picture by as much from each frame to the next; seeds are then passed between frames.
        loop: Go back to the first seed at the end.
        fps: Frames a second.
        enlarge: Side of a pixel in the film.
        overwrite: Replace files that are there, even if no earlier `interpolate` wrote them.
        out: The film; .mp4 needs the extra `video`.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.generation import interpolate as job
        from sfumato.store import inputs

        options: Any = {"label": label, "truncation": truncation, "space": space, "even": even, "loop": loop, "device": device}
        paths = job.output_files(out, fps=fps, enlarge=enlarge)
        with outputs.reserved(paths, by="interpolate", overwrite=overwrite, reads=(inputs.model(model),)):
            frames = job.interpolate(model, seeds, steps=steps, **options)
            console.print(f"{len(frames)} frames in {job.save(frames, out, fps=fps, enlarge=enlarge)}", highlight=False)


def mix(
    model: Model,
    *,
    rows: tuple[int, ...] = (0, 1, 2, 3),
    columns: tuple[int, ...] = (4, 5, 6, 7),
    layers: str | None = None,
    label: str | None = None,
    truncation: float = 1.0,
    overwrite: bool = False,
    out: Path = Path("mix.png"),
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Mix styles: each picture is its row's, but for a range of layers, which are its column's.

    Args:
        model: A bundled model, a run folder or a model file, with a style for each layer.
        rows: Seeds that the rows begin with.
        columns: Seeds that the columns begin with.
        layers: Which layers come from the columns, coarse to fine, such as 0-3 or 5; by default the coarser half.
        label: Class to show, by name; without it each seed shows its own, and a mixture that of its row.
        truncation: How far from the mean image: 0 is that image, 1 as trained.
        overwrite: Replace files that are there, even if no earlier `mix` wrote them.
        out: The picture of them all.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.editing import mix as job
        from sfumato.store import inputs

        span = None if layers is None else flags.span(layers)
        with outputs.reserved(job.output_files(out), by="mix", overwrite=overwrite, reads=(inputs.model(model),)):
            images = job.mix(model, rows, columns, layers=span, label=label, truncation=truncation, device=device)
            console.print(f"{len(rows)} x {len(columns)} mixtures in {job.save(images, out, columns=len(columns))}", highlight=False)


def project(
    model: Model,
    picture: File,
    *,
    steps: int = 300,
    label: str | None = None,
    layers: bool = True,
    noise: bool = True,
    features: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Find the styles with which a model comes nearest to a picture, to edit it: a .safetensors, a .png to look at, a .json.

    Args:
        model: A bundled model, a run folder or a model file.
        picture: Any picture; its middle is cut to the shape of the model's images.
        steps: How long to search.
        label: Class to look in, by name; by default the one whose images come nearest.
        layers: Give each layer a style of its own in the end: nearer to the picture, harder to edit.
        noise: Fit the noise as well, where the model has such.
        features: A model in whose layers pictures are compared, beside their pixels.
        seed: Seed of the search.
        overwrite: Replace files that are there, even if no earlier `project` wrote them.
        out: The styles' file; by default named after the picture, here: of shoe.png, shoe-projected.safetensors.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.editing import inversion as job
        from sfumato.generation import generate
        from sfumato.store import inputs

        target = out or Path(Path(picture).stem + "-projected.safetensors")
        options: Any = {"layers": layers, "noise": noise, "features": features, "seed": seed, "device": device}
        reads = (inputs.model(model), inputs.file(picture), inputs.model(features))
        with outputs.reserved(job.output_files(target, picture), by="project", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            found = job.project(network, picture, steps=steps, label=label, **options)
            paths = job.save(found, target, network)
        console.print(f"{found.psnr:.1f} dB from the picture: {', '.join(map(str, paths))}", highlight=False)


def directions(
    model: Model,
    *,
    how: Literal["principal", "closed-form", "jacobian"] = "principal",
    count: int = COUNT,
    examples: tuple[str, str] | None = None,
    name: str | None = None,
    features: str | None = None,
    layers: str | None = None,
    label: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    out: Path = DIRECTIONS,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Find directions along which a model's images change in one way: a .safetensors, a contact sheet, a .json with their names.

    Args:
        model: A bundled model, a run folder or a model file.
        how: principal, those in which its styles vary most; closed-form, to which its layers listen most; jacobian, that change its
            images most.
        count: How many.
        examples: Two folders of pictures instead: the one direction from what the first shows to what the second does.
        name: What to call that one.
        features: A classifier or the like in whose features the folders are told apart; by default the pixels, made small.
        layers: Which layers to move, coarse to fine, such as 0-3 or 5; by default all.
        label: Class to look in, by name; by default all.
        seed: Seed of the images that are looked at.
        overwrite: Replace files that are there, even if no earlier `directions` wrote them.
        out: The directions' file.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.core.errors import SettingError
        from sfumato.editing import directions as job
        from sfumato.editing.examples import from_examples
        from sfumato.generation import generate
        from sfumato.store import inputs

        if examples is None and (name or features):
            raise SettingError("--name and --features have no effect without --examples")
        if examples is not None:
            _refuse_unused("with --examples", how=how != "principal", count=count != COUNT)
        options: Any = {"layers": None if layers is None else flags.span(layers), "label": label, "seed": seed, "device": device}
        reads = (inputs.model(model), inputs.model(features), *(inputs.data(each) for each in examples or ()))
        with outputs.reserved(job.output_files(out), by="directions", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            if examples is None:
                found = job.directions(network, how, count=count, **options)
            else:
                found = from_examples(network, *examples, name=name, features=features, **options)
            paths = job.save(found, out, network)
        for i, (each, strength) in enumerate(zip(found.names, found.strengths, strict=True)):
            console.print(f"{i:3} {each} ({strength:.1%})" if examples is None else each, highlight=False)
        console.print(f"directions: {', '.join(map(str, paths))}", highlight=False)


def edit(
    model: Model,
    *,
    moves: tuple[str, ...] = (),
    directions: Path = DIRECTIONS,
    seed: int = 0,
    styles: Path | None = None,
    label: str | None = None,
    truncation: float = 1.0,
    replay: Path | None = None,
    overwrite: bool = False,
    out: Path = Path("edit.png"),
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Move an image along directions, and write down how in a .json that does it again to the bit.

    Args:
        model: A bundled model, a run folder or a model file.
        moves: Such as brighter=2, or 3=-1.5@0-4 for direction 3 in layers 0 to 4 only; in deviations of the model's own styles.
        directions: The file that `sfumato directions` wrote.
        seed: Which of the model's images to begin with.
        styles: A picture that `sfumato project` found, instead of a seed.
        label: Class of the seed's image, by name.
        truncation: How far the seed's image is from the mean one.
        replay: An edit's .json, to do that again instead; --styles says where its styles are now.
        overwrite: Replace files that are there, even if no earlier `edit` wrote them.
        out: The picture; the .json lies beside it.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.core.errors import SettingError
        from sfumato.editing import directions as found
        from sfumato.editing import edit as job
        from sfumato.generation import generate
        from sfumato.store import inputs

        if replay is not None:
            drawn = {"seed": seed != 0, "label": label is not None, "truncation": truncation != 1}
            found_in = {"moves": bool(moves), "directions": directions != DIRECTIONS}
            _refuse_unused("with --replay, which does what the file says", **drawn, **found_in)
        elif not moves:
            raise SettingError("nothing to do; give --moves, such as brighter=2, or --replay an edit")
        start = _start(seed, styles, label, truncation) if replay is None else {}
        moved_along = directions if replay is None else None
        reads = [inputs.model(model), inputs.file(moved_along, made_by="directions")]
        reads += [inputs.file(styles, made_by="project"), inputs.file(replay, made_by="edit")]
        with outputs.reserved(job.output_files(out), by="edit", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            if replay is not None:
                done, start = job.replay(network, replay, styles=styles, device=device)
            else:
                asked = job.parse_moves(found.load(directions, network), moves)
                done = job.edit(network, job.begun(network, start), asked, device=device)
            console.print(f"edit: {', '.join(map(str, job.save(done, out, network, start=start)))}", highlight=False)


def drag(
    model: Model,
    *,
    points: tuple[str, ...],
    seed: int = 0,
    styles: Path | None = None,
    label: str | None = None,
    truncation: float = 1.0,
    mask: Path | None = None,
    layers: str | None = None,
    steps: int = 100,
    overwrite: bool = False,
    out: Path = Path("drag.png"),
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Drag points of an image to where they should be; it stays an image of the model: a picture of before and after, a .safetensors.

    Args:
        model: A bundled model, a run folder or a model file.
        points: Such as 20,30:30,30 to bring what is in column 20 of row 30 to column 30.
        seed: Which of the model's images to begin with.
        styles: A picture that `sfumato project` found, or an earlier drag, instead of a seed.
        label: Class of the seed's image, by name.
        truncation: How far the seed's image is from the mean one.
        mask: A picture, white where the image may change.
        layers: Which styles move, coarse to fine, such as 0-3; by default the coarser half.
        steps: At most so many.
        overwrite: Replace files that are there, even if no earlier `drag` wrote them.
        out: The picture; the styles lie beside it.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.editing import drag as job
        from sfumato.editing import edit
        from sfumato.generation import generate
        from sfumato.store import inputs

        start = _start(seed, styles, label, truncation)
        begin, ends = job.parse_moves(points)
        span = None if layers is None else flags.span(layers)
        reads = (inputs.model(model), inputs.file(styles, made_by="project"), inputs.file(mask))
        with outputs.reserved(job.output_files(out), by="drag", overwrite=overwrite, reads=reads):
            network = generate.sampler(model)
            where = None if mask is None else job.mask_of(mask, network)
            done = job.drag(network, edit.begun(network, start), begin, ends, steps=steps, mask=where, layers=span, device=device)
            paths = job.save(done, out, network)
        console.print(f"{done.distance:.1f} px from the target after {done.steps} steps: {', '.join(map(str, paths))}", highlight=False)


def _start(seed: int, styles: Path | None, label: str | None, truncation: float) -> dict[str, Any]:
    """What an edit begins with."""
    if styles is None:
        return {"seed": seed, "label": label, "truncation": truncation}
    _refuse_unused("with --styles, which are an image already", seed=seed != 0, label=label is not None, truncation=truncation != 1)
    return {"styles": str(styles)}


def _refuse_unused(condition: str, **given: bool) -> None:
    """Raises SettingError for flags that were given and would have no effect `where` they were."""
    from sfumato.core.errors import SettingError

    names = [f"--{name}" for name, there in given.items() if there]
    if names:
        raise SettingError(f"{' and '.join(names)}: no effect {condition}")


VERBS = (interpolate, mix, project, directions, edit, drag)
