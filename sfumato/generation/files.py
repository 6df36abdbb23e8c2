"""Generated images in a folder: a PNG of each image, written as soon as it is generated, and one sheet of all.

Each PNG holds a recipe: weights, seed, class and truncation. The same command continues a run that was stopped: an image is not generated
again if an earlier run wrote its file with the same recipe and nobody has changed the file since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sfumato.core import outputs, schema
from sfumato.core.errors import ImageError, SettingError, SfumatoError
from sfumato.core.json_value import JsonObject
from sfumato.core.tensors import Pixels, to_bytes, to_images, to_pixels
from sfumato.generation.generate import CHUNK, file_names, generate, opened_generator, shown_classes
from sfumato.generation.result import image_recipes, output_files, save_generated
from sfumato.io import files
from sfumato.io.embedded import recipe_text
from sfumato.store.loaded import Model


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Generated images in files."""

    paths: list[Path]
    """The sheet, then a file for each seed."""
    done_before: int
    """Number of images whose files an earlier run had written."""


def generate_files(
    model: Model,
    seeds: Sequence[int],
    out: Path,
    *,
    label: str | int | None = None,
    truncation: float = 1.0,
    columns: int | None = None,
    overwrite: bool = False,
    reads: Sequence[str | Path | None] = (),
    device: str = "auto",
) -> Generated:
    """Writes the image of each seed and a sheet of all into the folder `out`.

    `overwrite` and `reads` are as in `outputs.reserved`. Raises SettingError for no seeds, ImageError for more than 4 channels, and as
    `generate` and `outputs.reserved`.
    """
    if not seeds:
        raise SettingError("no seeds; ask for at least one image")
    source = opened_generator(model)
    network = source.network
    if network.channels > 4:
        raise ImageError(f"no picture file has the {network.channels} channels of this model's images; use sf.generate for tensors")
    sheet, *targets = output_files(out, file_names(source, seeds, label))
    recipes = dict(zip(targets, image_recipes(network, seeds, shown_classes(source, seeds, label), truncation), strict=True))
    with outputs.reserved([sheet, *recipes], by="generate", overwrite=overwrite, reads=reads) as held:
        missing = [path for path in recipes if not (held.is_own(path) and _stored_recipe(path) == recipes[path])]
        for start in range(0, len(missing), CHUNK):
            part = missing[start : start + CHUNK]
            own = [recipes[path]["seed"] for path in part]
            images = generate(source, seeds=own, label=label, truncation=truncation, device=device)
            for path, pixels in zip(part, to_bytes(images), strict=True):
                save_generated(path, pixels.permute(1, 2, 0).contiguous(), recipes[path])
        every = torch.stack([_pixels(path).permute(2, 0, 1) for path in targets])
        files.save_image(sheet, to_pixels(to_images(every), columns=columns))
    return Generated(paths=[sheet, *targets], done_before=len(recipes) - len(missing))


def _stored_recipe(path: Path) -> JsonObject | None:
    """The recipe inside a PNG; None if there is none."""
    try:
        return schema.parsed_object(recipe_text(path), str(path))
    except SfumatoError:
        return None


def _pixels(path: Path) -> Pixels:
    """The pixels of a PNG, with its opacity as the last channel."""
    picture = files.read(path)
    return picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], dim=-1)
