"""Generated images in a folder: each in a PNG that tells how it was made, written as soon as it is made, and one sheet of all.

A run that was stopped goes on with the same command: a file that it wrote, that nobody has changed since and that tells of the same
weights, seed, class and truncation, is not made again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch

from sfumato import __version__
from sfumato.core import outputs, schema
from sfumato.core.errors import ImageError, SettingError, SfumatoError
from sfumato.core.json_value import JsonObject
from sfumato.core.tensors import Pixels, to_bytes, to_images, to_pixels
from sfumato.generation.generate import CHUNK, class_names, file_names, generate, labels_of, output_files, sampler
from sfumato.io import files
from sfumato.io.embedded import KEY, recipe_text
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store.loaded import LoadedModel, Model


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The files in a folder."""

    paths: list[Path]
    """The sheet, then a file for each seed."""
    done_before: int
    """Files that an earlier run of the same command wrote."""


class Recipe(TypedDict):
    """How an image was made, in the text of its file."""

    made_with: str
    weights: str
    seed: int
    label: str | None
    truncation: float


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

    `overwrite` and `reads` are as in `outputs.reserved`. Raises SettingError for no seeds, and like `generate` and `outputs.reserved`.
    """
    if not seeds:
        raise SettingError("no seeds; ask for at least one image")
    source = sampler(model)
    if source.network.channels > 4:
        raise ImageError(f"no picture file has the {source.network.channels} channels of this model's images; use sf.generate for tensors")
    sheet, *targets = output_files(out, file_names(source, seeds, label))
    recipes = dict(zip(targets, _recipes(source, seeds, label, truncation), strict=True))
    with outputs.reserved([sheet, *recipes], by="generate", overwrite=overwrite, reads=reads) as held:
        left = [path for path in recipes if not (held.is_own(path) and _comment(path) == recipes[path])]
        for start in range(0, len(left), CHUNK):
            part = left[start : start + CHUNK]
            own = [recipes[path]["seed"] for path in part]
            images = generate(source, seeds=own, label=label, truncation=truncation, device=device)
            for path, pixels in zip(part, to_bytes(images), strict=True):
                _save(path, pixels.permute(1, 2, 0).contiguous(), recipes[path])
        every = torch.stack([_pixels(path).permute(2, 0, 1) for path in targets])
        files.save_image(sheet, to_pixels(to_images(every), columns=columns))
    return Generated(paths=[sheet, *targets], done_before=len(recipes) - len(left))


def _recipes(source: LoadedModel[StyleGenerator], seeds: Sequence[int], label: str | int | None, truncation: float) -> list[Recipe]:
    """How the image of each seed is made, for JSON."""
    names, labels, weights = class_names(source), labels_of(source, seeds, label), weights_hash(source.network)
    shown = [None] * len(seeds) if labels is None else [names[i] for i in labels.tolist()]
    made_with = f"sfumato {__version__}, torch {torch.__version__}"
    return [
        {"made_with": made_with, "weights": weights, "seed": seed, "label": each, "truncation": truncation}
        for seed, each in zip(seeds, shown, strict=True)
    ]


def _save(path: Path, pixels: Pixels, recipe: Recipe) -> None:
    """Writes a PNG with its recipe; two or four channels are grey or colour with opacity."""
    c = pixels.shape[-1]
    shown, alpha = (pixels[..., : c - 1], pixels[..., c - 1 :]) if c in (2, 4) else (pixels, None)
    files.write(path, files.Picture(pixels=shown, alpha=alpha, text={KEY: json.dumps(recipe)}))


def _comment(path: Path) -> JsonObject | None:
    """The recipe inside a PNG; None if there is none."""
    try:
        return schema.parsed_object(recipe_text(path), str(path))
    except SfumatoError:
        return None


def _pixels(path: Path) -> Pixels:
    """What `_save` wrote."""
    picture = files.read(path)
    return picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], dim=-1)
