"""Dreams of Python in files: each picture with the recipe that the command line writes, from which it can be repeated."""

import dataclasses
from pathlib import Path

from sfumato.core import outputs
from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_pixels
from sfumato.dreaming.dream import Dreamt
from sfumato.dreaming.files import keep, output_files, recipe
from sfumato.io import files
from sfumato.io.results import save_files


def save_dreams(dreamt: Dreamt, out: Path, *, overwrite: bool) -> list[Path]:
    """Writes one image to the name of a picture, or each image into the folder `out`, with its recipe. Returns the paths.

    Raises SettingError for a single name and several images, for a dream that does not know its network, and as `outputs.reserved`.
    """
    network, settings = dreamt.network, dreamt.options
    if network is None or settings is None:
        raise SettingError("this dream does not know its network and its settings; only what `dream` returns can be saved")
    targets = _targets(out, len(dreamt.images), settings.seed)
    paths = [path for target in targets for path in output_files(target)]
    fresh = "picture" not in dreamt.facts

    def write() -> None:
        for i, (target, image) in enumerate(zip(targets, dreamt.images.split(1), strict=True)):
            options = dataclasses.replace(settings, seed=settings.seed + i) if fresh else settings
            record = recipe(network, options, dreamt.before[i], dreamt.after[i]) | dreamt.facts
            keep(target, files.Picture(pixels=to_pixels(image)), record)

    return save_files(paths, write, by="dream", overwrite=overwrite)


def _targets(out: Path, count: int, seed: int) -> list[Path]:
    """A file for each image. Raises SettingError for one name and several images."""
    if outputs.is_file_name(out, files.FORMATS):
        if count > 1:
            raise SettingError(f"{out} is one picture, and there are {count} pictures to save; name a folder instead")
        return [out]
    return [out / "dream.png"] if count == 1 else [out / f"{seed + i:05d}.png" for i in range(count)]
