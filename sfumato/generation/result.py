"""Generated images and films in Python: tensors that can be saved, each image in a PNG that says how it was made."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from torch import Tensor, nn

from sfumato.core import outputs
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Pixels, to_bytes, to_pixels
from sfumato.core.versions import made_with
from sfumato.io import files
from sfumato.io.embedded import KEY
from sfumato.io.results import ImageTensor, TensorResult, save_files
from sfumato.metrics.features import weights_hash


class Recipe(TypedDict):
    """How an image was made, in the text of its file."""

    made_with: str
    weights: str
    seed: int
    label: str | None
    truncation: float


class GeneratedImages(ImageTensor):
    """Images (n, c, h, w) in [0, 1], as `generate` returns them."""

    by = "generate"
    names: tuple[str, ...] = ()
    """Name of the file of each image, without its ending."""
    recipes: Callable[[], list[Recipe]] | None = None
    """Returns the recipe of each image: weights, seed, class and truncation. The weights are hashed only if it is called."""

    def save(self, path: str | Path, *, columns: int | None = None, overwrite: bool = False) -> list[Path]:
        """Writes one sheet to the name of a picture, or a sheet and a PNG of each image into a folder; returns the paths.

        `columns` is the number of images in a row of the sheet, near square if None. Raises SettingError as `check_columns`, for the
        ending of another kind of file, and for a file that is not to be replaced.
        """
        check_columns(columns)
        images, paths = self.as_subclass(Tensor), output_files(Path(path), self.names)
        recipes = self.recipes() if self.recipes is not None and len(paths) > 1 else []

        def write() -> None:
            for target, image, recipe in zip(paths[1:], to_bytes(images), recipes, strict=False):
                save_generated(target, image.permute(1, 2, 0).contiguous(), recipe)
            files.save_image(paths[0], to_pixels(images, columns=columns))

        return save_files(paths, write, by=self.by, overwrite=overwrite)


class Frames(TensorResult):
    """Frames (n, c, h, w) in [0, 1], as `interpolate` returns them."""

    by: str = "interpolate"

    def save(self, path: str | Path, *, fps: float = 24.0, enlarge: int = 4, overwrite: bool = False) -> list[Path]:
        """Writes a .gif, .webp or .mp4 at `fps` frames a second, each pixel `enlarge` pixels wide; returns its path.

        Raises SettingError for an ending, a rate or a factor that is not possible, and for a file that is not to be replaced.
        """
        frames, target = self.as_subclass(Tensor), Path(path)
        check_film(target, fps=fps, enlarge=enlarge)
        return save_files([target], lambda: save_film(frames, target, fps=fps, enlarge=enlarge), by=self.by, overwrite=overwrite)


def check_columns(columns: int | None) -> None:
    """Raises SettingError for fewer than one image in a row."""
    if columns is not None and columns < 1:
        raise SettingError(f"columns = {columns} must be at least 1")


def output_files(out: Path, names: Sequence[str] = ()) -> list[Path]:
    """The files for generated images, the sheet first. Raises SettingError for the ending of a file that cannot be written."""
    if outputs.is_file_name(out, files.FORMATS):
        return [out]
    return [out / "grid.png", *(out / f"{name}.png" for name in names)]


def image_recipes(network: nn.Module, seeds: Sequence[int], labels: Sequence[str | None], truncation: float) -> list[Recipe]:
    """How the image of each seed is made, for JSON; `labels` are the names of their classes."""
    weights = weights_hash(network)
    return [
        {"made_with": made_with(), "weights": weights, "seed": seed, "label": label, "truncation": truncation}
        for seed, label in zip(seeds, labels, strict=True)
    ]


def save_generated(path: Path, pixels: Pixels, recipe: Recipe) -> None:
    """Writes a PNG with its recipe; two or four channels are grey or colour with opacity."""
    c = pixels.shape[-1]
    shown, alpha = (pixels[..., : c - 1], pixels[..., c - 1 :]) if c in (2, 4) else (pixels, None)
    files.write(path, files.Picture(pixels=shown, alpha=alpha, text={KEY: json.dumps(recipe)}))


def check_film(out: Path, *, fps: float, enlarge: int) -> None:
    """Raises SettingError for an `enlarge` below 1, an ending or a rate that is not possible, MissingExtraError for .mp4 without PyAV."""
    if enlarge < 1:
        raise SettingError(f"enlarge = {enlarge} must be at least 1")
    files.check_animation(out, fps)


def save_film(frames: Tensor, out: Path, *, fps: float, enlarge: int) -> None:
    """Writes frames (n, c, h, w) as a .gif, .webp or .mp4, each pixel `enlarge` pixels wide. Raises as `check_film`."""
    check_film(out, fps=fps, enlarge=enlarge)
    large = frames.repeat_interleave(enlarge, dim=2).repeat_interleave(enlarge, dim=3)
    files.save_animation(out, [to_pixels(frame[None]) for frame in large], fps=fps)
