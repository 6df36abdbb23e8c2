"""An image moved along directions. A short JSON file holds the edit; `replay` repeats it to the bit."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import torch

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.deprecation import renamed_arguments, renamed_attribute
from sfumato.core.device import select_device
from sfumato.core.errors import FormatError, SettingError
from sfumato.core.paths import inside
from sfumato.core.tensors import Images, to_pixels
from sfumato.core.text import inner_path, last_part, quoted
from sfumato.editing import latent_image as subjects
from sfumato.editing.directions import Directions, moved
from sfumato.editing.directions import load as load_directions
from sfumato.editing.latent_image import LatentImage, StartRow, render
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import sampler
from sfumato.io import files
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.store.loaded import Model
from sfumato.store.migrate import FORMAT, upgraded_tree

KIND = "sfumato edit"


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step along one direction."""

    vector: tuple[float, ...]
    strength: float
    """In deviations of the network's own styles."""
    layers: Span
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """The result of an edit."""

    latent_image: LatentImage
    """After the moves."""
    before: LatentImage
    images: Images
    """Before and after, in [0, 1], (2, c, h, w)."""
    moves: tuple[Move, ...]

    subject = renamed_attribute("subject", "latent_image")

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the image after the moves as a picture, and beside it the .json with which `replay` repeats the edit.

        If the edit began with latents that are in no file, they are written too, as PATH-start.safetensors. Returns the paths. Raises
        SettingError for the ending of another kind of file, and for a file that is not to be replaced.
        """
        target, start = Path(path), self.before.start
        paths = output_files(target)
        if start is None:
            paths.append(target.with_name(f"{target.stem}-start.safetensors"))

        def write() -> None:
            if start is None:
                self.before.write(paths[-1])
            _write(self, target, start or {"styles": str(paths[-1])}, self.before.weights)

        return save_files(paths, write, by="edit", overwrite=overwrite)


@renamed_arguments(subject="latent_image")
def edit(
    model: Model,
    latent_image: LatentImage | int | str | Path,
    moves: Sequence[Move | str],
    *,
    directions: Directions | str | Path | None = None,
    device: str = "auto",
) -> Edited:
    """An image before and after all `moves`; the result has `save(path)`.

    `latent_image` is latents, such as `project(...).latent_image`, the file of such, or a seed. A move is a `Move`, or a text such as
    `brighter=2` about the `directions`, which may be a file. Raises SettingError for layers or a length of vector that do not fit.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    before = subjects.latent_image(source, latent_image)
    steps, styles = _as_moves(source, moves, directions), before.styles
    for move in steps:
        if len(move.vector) != network.style_dim or not math.isfinite(move.strength):
            raise SettingError(
                f"{len(move.vector)} numbers at strength {move.strength:g} are no direction for styles of {network.style_dim}"
            )
        styles = moved(styles, torch.tensor(move.vector), move.strength, span(network, move.layers))
    after = before.moved(styles)
    images = torch.cat([render(source, before), render(source, after)])
    return Edited(latent_image=after, before=before, images=images, moves=tuple(steps))


def _as_moves(model: Model, moves: Sequence[Move | str], directions: Directions | str | Path | None) -> list[Move]:
    """Every move as a `Move`. Raises SettingError for a text without directions."""
    axes = load_directions(Path(directions), model) if isinstance(directions, str | Path) else directions
    result: list[Move] = []
    for move in moves:
        if isinstance(move, Move):
            result.append(move)
        elif axes is not None:
            result += parse_moves(axes, [move])
        else:
            raise SettingError(f"the move {move!r} names a direction; give the directions, or the file that `sfumato directions` wrote")
    return result


def parse_moves(directions: Directions, texts: Sequence[str]) -> list[Move]:
    """The moves of texts such as `name=strength` or `number=strength@layers`. Raises SettingError for other texts and unknown names."""
    moves = []
    for word in texts:
        name, _, rest = word.rpartition("=")
        strength, _, layers = rest.partition("@")
        try:
            if not name:
                raise ValueError("no name")
            index, first, last = directions.find(name), *(directions.layers if not layers else _pair(layers))
            moves.append(
                Move(
                    vector=tuple(directions.vectors[index].tolist()),
                    strength=float(strength),
                    layers=(first, last),
                    name=directions.names[index],
                )
            )
        except ValueError as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError(
                f"{word!r} cannot be read as a move; write brighter=2, or 3=-1.5@0-4 for direction 3 in layers 0 to 4"
            ) from error
    return moves


def save(result: Edited, out: Path, model: Model, *, start: Mapping[str, object]) -> list[Path]:
    """Writes the image after the moves to `out`, and beside it, as .json, the `start` and the moves for `replay`. Returns the paths."""
    return _write(result, out, start, weights_hash(sampler(model).network))


def _write(result: Edited, out: Path, start: Mapping[str, object], weights: str) -> list[Path]:
    """The same for a network with these `weights`.

    If a file of styles lies neither below the working folder nor beside `out`, only its name is kept: `replay` looks beside the .json.
    """
    if "styles" in start:
        start = {**start, "styles": _relative(Path(str(start["styles"])), out.parent)}
    _, record = output_files(out)
    files.save_image(out, to_pixels(result.images[1:]))
    moves = [vars(move) | {"layers": list(move.layers), "vector": list(move.vector)} for move in result.moves]
    content = {"is": KIND, "format": FORMAT, "weights": weights, "start": start, "moves": moves}
    atomic_io.write(record, json.dumps(content, indent=1) + "\n")
    return [out, record]


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out, out.with_suffix(".json")]


class MoveRow(TypedDict):
    """A move in a file."""

    vector: list[schema.Finite]
    strength: schema.Finite
    layers: tuple[schema.Whole, schema.Whole]
    name: str


Record = TypedDict("Record", {"is": Literal["sfumato edit"], "weights": str, "start": StartRow, "moves": list[MoveRow]})
"""An edit in a file."""


def replay(model: Model, path: str | Path, *, styles: str | Path | None = None, device: str = "auto") -> tuple[Edited, dict[str, object]]:
    """The edit saved at `path`, done again, and its start. Raises SettingError for an edit of another model and for another file.

    If the edit started at a file of styles, that file is looked for beside `path` and in the working folder, unless `styles` names it.
    """
    source, path = sampler(model).to(select_device(device)), Path(path)
    try:
        record = schema.checked(upgraded_tree(schema.read_object(path)), Record, str(path))
        start = record["start"]
        if "styles" not in start and "seed" not in start:
            raise FormatError(f"{path}: its start has neither a seed nor styles")
    except FormatError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise SettingError(f"{path} is no edit that can be done again ({reason}); `sfumato edit` writes such files") from error
    if record["weights"] != weights_hash(source.network):
        raise SettingError(f"{path} is an edit with another model than this")
    if styles is not None and "styles" not in start:
        raise SettingError(f"{path} is an edit of a seed's image; leave --styles out")
    moves = [_move(row) for row in record["moves"]]
    if "styles" in start:
        start = StartRow(styles=str(styles or _near(start["styles"], path.parent)))
    return edit(source, begun(source, start), moves, device=device), {**start}


def _move(row: MoveRow) -> Move:
    first, last = row["layers"]
    return Move(vector=tuple(row["vector"]), strength=row["strength"], layers=(first, last), name=row["name"])


def _near(styles: str, folder: Path) -> Path:
    """The file of styles that an edit in `folder` names: below the working folder or `folder`, by its path or else by its name alone."""
    inner, name = inner_path(styles), last_part(styles)
    places = [base / place for place in (inner, name) if place for base in (Path(), folder)]
    if place := next((path for path in places if path.is_file()), None):
        return place
    raise SettingError(f"the edit started at {quoted(styles)}, which lies neither beside it nor here; name it with --styles")


def begun(model: Model, start: StartRow) -> LatentImage:
    """The latents that a start names: of a seed with label and truncation, or in a file of styles."""
    if "styles" in start:
        return subjects.load(Path(start["styles"]), model)
    return subjects.drawn(model, start.get("seed", 0), label=start.get("label"), truncation=float(start.get("truncation", 1.0)))


def _relative(path: Path, folder: Path) -> str:
    """The path as a record holds it: relative to `folder` if it lies there, else as `inside` returns it."""
    whole, base = path.absolute(), folder.absolute()
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else inside(path)


def _pair(text: str) -> Span:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
