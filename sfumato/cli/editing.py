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


VERBS = (interpolate, mix)
