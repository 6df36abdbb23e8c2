"""The verbs that edit: everything between two images of a generator, or between an image and what one would rather have."""

from pathlib import Path
from typing import Any, Literal

from sfumato.cli.verbs import Device, Name, console, machine
from sfumato.core import flags


def interpolate(
    model: Name,
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
        out: The film; .mp4 needs the extra `video`.
        device: Where to compute.
        threads: Threads to compute with; all cores if not given.

    """
    with machine(threads):
        from sfumato.jobs import interpolate as job

        options: Any = {"label": label, "truncation": truncation, "space": space, "even": even, "loop": loop, "device": device}
        frames = job.interpolate(model, seeds, steps=steps, **options)
        console.print(f"{len(frames)} frames in {job.save(frames, out, fps=fps, enlarge=enlarge)}", highlight=False)


def mix(
    model: Name,
    *,
    rows: tuple[int, ...] = (0, 1, 2, 3),
    columns: tuple[int, ...] = (4, 5, 6, 7),
    layers: str | None = None,
    label: str | None = None,
    truncation: float = 1.0,
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
        out: The picture of them all.
        device: Where to compute.
        threads: Threads to compute with; all cores if not given.

    """
    with machine(threads):
        from sfumato.jobs import mix as job

        span = None if layers is None else flags.span(layers)
        images = job.mix(model, rows, columns, layers=span, label=label, truncation=truncation, device=device)
        console.print(f"{len(rows)} x {len(columns)} mixtures in {job.save(images, out, columns=len(columns))}", highlight=False)


def project(
    model: Name,
    picture: Name,
    *,
    steps: int = 300,
    label: str | None = None,
    layers: bool = True,
    noise: bool = True,
    features: str | None = None,
    seed: int = 0,
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
        out: The styles' file; by default named after the picture, here.
        device: Where to compute.
        threads: Threads to compute with; all cores if not given.

    """
    with machine(threads):
        from sfumato.jobs import generate
        from sfumato.jobs import project as job

        network = generate.sampler(model)
        options: Any = {"layers": layers, "noise": noise, "features": features, "seed": seed, "device": device}
        found = job.project(network, picture, steps=steps, label=label, **options)
        paths = job.save(found, out or Path(Path(picture).stem + ".safetensors"), network)
        console.print(f"{found.psnr:.1f} dB from the picture: {', '.join(map(str, paths))}", highlight=False)


VERBS = (interpolate, mix, project)
