"""The work of the page Edit: each step takes a file of latents and leaves one."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.progress import reached
from sfumato.web.tasks.values import enlarged, from_tensor, inputs, number, save_preview, whole, word

AXES = 6
"""Directions that are offered."""


def begin(arguments: JsonObject, folder: Path) -> JsonObject:
    """The image of a seed as latents, and the strongest directions of the model."""
    work = _Work(arguments, folder)
    label = word(arguments, "label") or None
    start = sf.latent_image(work.model, whole(arguments, "seed"), label=label, truncation=number(arguments, "truncation"))
    axes = sf.directions(work.model, "principal", count=AXES)
    axes.save(folder / "directions.safetensors")
    return work.state(start) | {"directions": str(folder / "directions.safetensors"), "names": cast(Json, list(axes.names))}


def move(arguments: JsonObject, folder: Path) -> JsonObject:
    """The image moved along the directions, mixed with the image of another seed if that is asked, and the JSON of the edit."""
    work = _Work(arguments, folder)
    axes = sf.load_directions(word(arguments, "directions"), work.model)
    strengths = arguments.get("strengths")
    values = [float(each) for each in strengths if isinstance(each, int | float)] if isinstance(strengths, list) else []
    moves = [f"{i}={value}" for i, value in enumerate(values[: len(axes.names)]) if value]
    edited = sf.edit(work.model, work.mixed(work.start()), moves, directions=axes)
    return work.state(edited.latent_image, edited.save(folder / "edited.png"))


def drag(arguments: JsonObject, folder: Path) -> JsonObject:
    """The image with the content at one point moved to another."""
    work, steps = _Work(arguments, folder), whole(arguments, "steps")
    ends = [(number(arguments, f"{end}_x"), number(arguments, f"{end}_y")) for end in ("from", "to")]
    dragged = sf.drag(work.model, work.start(), ends[:1], ends[1:], steps=steps, on_progress=lambda step, _: reached("steps", step, steps))
    return work.state(dragged.latent_image, dragged.save(folder / "dragged.png"))


def project(arguments: JsonObject, folder: Path) -> JsonObject:
    """The latents that come nearest to an uploaded picture."""
    work, steps = _Work(arguments, folder), whole(arguments, "steps")
    (path,) = inputs([word(arguments, "picture")], folder)
    projection = sf.project(work.model, path, steps=steps, on_progress=lambda step, _: reached("steps", step, steps))
    return work.state(projection.latent_image, projection.save(folder / "projected.safetensors")) | {"psnr": projection.psnr}


class _Work:
    """One step of editing: the model, loaded once, and what each step needs."""

    def __init__(self, arguments: JsonObject, folder: Path) -> None:
        self._arguments, self._folder = arguments, folder
        self.model = sf.load(word(arguments, "model"))

    def start(self) -> "sf.LatentImage":
        """The latents that the step begins with. Raises SettingError if there are none yet."""
        path = word(self._arguments, "latents")
        if not path:
            raise SettingError("there is no image yet; begin with a seed or a picture")
        return sf.latent_image(self.model, path)

    def mixed(self, start: "sf.LatentImage") -> "sf.LatentImage":
        """`start` with the styles of another seed in a range of layers; `start` itself if no mixture is asked. Raises SettingError."""
        arguments = self._arguments
        if arguments.get("mix") is not True:
            return start
        first, last, count = whole(arguments, "mix_first"), whole(arguments, "mix_last"), start.styles.shape[1]
        if not 0 <= first <= last < count:
            raise SettingError(f"layers {first}-{last} are not among 0-{count - 1}, which this model has, coarse to fine")
        other = sf.latent_image(self.model, whole(arguments, "mix_seed")).styles
        return start.moved(torch.cat([start.styles[:, :first], other[:, first : last + 1], start.styles[:, last + 1 :]], dim=1))

    def state(self, latents: "sf.LatentImage", files: Sequence[Path] = ()) -> JsonObject:
        """The file of latents, their image as a browser shows it, and the files for download."""
        image = from_tensor(sf.render(self.model, latents))
        place = self._folder / "latents.safetensors"
        latents.write(place)
        shown = enlarged(image, least=512)
        return {
            "latents": str(place),
            "image": save_preview(shown, self._folder / "shown.png"),
            "scale": shown.width // image.width,
            "width": image.width,
            "height": image.height,
            "layers": int(latents.styles.shape[1]),
            "files": [str(path) for path in files],
        }
