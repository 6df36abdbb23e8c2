"""Dreams that begin with a seed, in files: each is written as soon as it is done, and files of the same dream are skipped."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from sfumato.batch.manifest import DONE
from sfumato.core import outputs
from sfumato.core.json_value import Facts
from sfumato.core.paths import inside
from sfumato.core.tensors import Images, to_pixels
from sfumato.dreaming.dream import Dream, Tell, dream, resolved
from sfumato.dreaming.feature_extractor import DreamNetwork
from sfumato.dreaming.files import is_same_dream, keep, named, picture_of, recipe, rise
from sfumato.dreaming.latent import dream_through
from sfumato.editing.latent_image import drawn
from sfumato.generation.generate import sampler
from sfumato.io import files

Dreamed = tuple[Images, float, float]
"""One image, and the value of its objectives before and after."""
OnFile = Callable[[Path, str], None]
"""Is called with each file and a remark on it."""


def dream_noise(
    seeing: DreamNetwork,
    options: Dream,
    targets: Sequence[Path],
    held: outputs.Reservation,
    *,
    size: tuple[int, int],
    guide: Path | None = None,
    overwrite: bool = False,
    on_progress: OnFile = lambda *_: None,
    watch: Tell = lambda _: None,
) -> None:
    """Dreams from noise, with seeds from `options.seed` on, one for each of the `targets`, which are reserved in `held`.

    Raises SettingError for a file that exists and is another dream, unless `overwrite`, and the errors of `dream`.
    """
    shown = None if guide is None else picture_of(guide)
    settled = resolved(options, seeing, fresh=True)
    records = [recipe(seeing, each, 0.0, 0.0) | {"size": size} | named(guide=guide) for each in _seeded(settled, len(targets))]

    def make(i: int) -> Dreamed:
        done = dream(None, seeing, dataclasses.replace(options, seed=options.seed + i), size=size, guide=shown, on_progress=watch)
        return done.images, done.before[0], done.after[0]

    _written(targets, records, make, held, overwrite=overwrite, on_progress=on_progress)


def dream_styles(
    generator: str,
    seeing: DreamNetwork,
    options: Dream,
    targets: Sequence[Path],
    held: outputs.Reservation,
    *,
    shows: str | None = None,
    overwrite: bool = False,
    on_progress: OnFile = lambda *_: None,
    watch: Tell = lambda _: None,
) -> None:
    """Dreams through a generator, with seeds from `options.seed` on; the rest is as in `dream_noise`."""
    making = sampler(generator).to(seeing.device)
    settled = resolved(options, seeing, fresh=False)
    records = [
        recipe(seeing, each, 0.0, 0.0) | {"through": inside(generator), "shows": drawn(making, each.seed, label=shows).origin["label"]}
        for each in _seeded(settled, len(targets))
    ]

    def make(i: int) -> Dreamed:
        done = dream_through(making, seeing, dataclasses.replace(options, seed=options.seed + i), shows=shows, on_progress=watch).dreamt
        return done.images, done.before[0], done.after[0]

    _written(targets, records, make, held, overwrite=overwrite, on_progress=on_progress)


def _seeded(options: Dream, count: int) -> list[Dream]:
    """`options` with each seed."""
    return [dataclasses.replace(options, seed=options.seed + i) for i in range(count)]


def _written(
    targets: Sequence[Path],
    records: Sequence[Facts],
    make: Callable[[int], Dreamed],
    held: outputs.Reservation,
    *,
    overwrite: bool,
    on_progress: OnFile,
) -> None:
    """Makes the images whose files do not hold the same dream, and writes each with its record."""
    done = [held.is_own(target) and is_same_dream(target, each) for target, each in zip(targets, records, strict=True)]
    for target, there in zip(targets, done, strict=True):
        if not there:
            outputs.check_free(target, overwrite=overwrite, advice=f"it is another dream; {outputs.ADVICE}")
    for i, (target, each, there) in enumerate(zip(targets, records, done, strict=True)):
        if there:
            on_progress(target, DONE)
            continue
        images, before, after = make(i)
        keep(target, files.Picture(pixels=to_pixels(images)), each | {"before": before, "after": after})
        on_progress(target, rise(before, after))
