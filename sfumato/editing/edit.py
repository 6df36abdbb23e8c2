"""An image moved along directions: what was done is a short JSON file, which does it again to the bit."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.device import select_device
from sfumato.core.errors import FormatError, SettingError
from sfumato.core.paths import inside
from sfumato.core.tensors import Images, to_pixels
from sfumato.core.text import inner_path, last_part, quoted
from sfumato.editing import latent_image as subjects
from sfumato.editing.directions import Directions, moved
from sfumato.editing.latent_image import LatentImage, render
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import sampler
from sfumato.io import files
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
    subject: LatentImage
    images: Images
    """Before and after, in [0, 1]."""
    moves: tuple[Move, ...]


def edit(model: Model, subject: LatentImage, moves: Sequence[Move], *, device: str = "auto") -> Edited:
    """The image of `subject` before and after all `moves`. Raises SettingError for layers or a length of vector that do not fit."""
    source = sampler(model).to(select_device(device))
    network = source.network
    styles = subject.styles
    for move in moves:
        if len(move.vector) != network.style_dim or not math.isfinite(move.strength):
            raise SettingError(
                f"{len(move.vector)} numbers at strength {move.strength:g} are no direction for styles of {network.style_dim}"
            )
        styles = moved(styles, torch.tensor(move.vector), move.strength, span(network, move.layers))
    after = LatentImage(styles=styles, label=subject.label, noise=subject.noise, origin=subject.origin)
    images = torch.cat([render(source, subject), render(source, after)])
    return Edited(subject=after, images=images, moves=tuple(moves))


def parse_moves(directions: Directions, texts: Sequence[str]) -> list[Move]:
    """The moves that `name=strength` or `number=strength@layers` ask for. Raises SettingError for other words and unknown names."""
    moves = []
    for word in texts:
        which, _, rest = word.rpartition("=")
        strength, _, layers = rest.partition("@")
        try:
            if not which:
                raise ValueError("no name")
            index, first, last = directions.find(which), *(directions.layers if not layers else _pair(layers))
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


def save(result: Edited, out: Path, model: Model, *, start: dict[str, Any]) -> list[Path]:
    """Writes the image after to `out`, and beside it, as .json, all that `replay` needs: the `start` and the moves. Returns the paths.

    Of a file of styles that lies elsewhere than below the working folder or beside `out` only the name is kept: `replay` looks beside.
    """
    if "styles" in start:
        start = start | {"styles": _seen_from(Path(start["styles"]), out.parent)}
    _, told = output_files(out)
    files.save_image(out, to_pixels(result.images[1:]))
    moves = [vars(move) | {"layers": list(move.layers), "vector": list(move.vector)} for move in result.moves]
    digest = weights_hash(sampler(model).network)
    atomic_io.write(
        told,
        json.dumps({"is": KIND, "format": FORMAT, "weights": digest, "start": start, "moves": moves}, indent=1) + "\n",
    )
    return [out, told]


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


class StartRow(TypedDict, total=False):
    """Where an edit in a file started: at a seed, or at a file of styles."""

    seed: schema.Whole
    label: str | int | None
    truncation: schema.Finite
    styles: str


Told = TypedDict("Told", {"is": Literal["sfumato edit"], "weights": str, "start": StartRow, "moves": list[MoveRow]})
"""An edit in a file."""


def replay(model: Model, path: Path, *, styles: Path | None = None, device: str = "auto") -> tuple[Edited, dict[str, Any]]:
    """What the edit saved at `path` did, done again, and where it started. Raises SettingError if it is of another model or no edit.

    An edit that started at a file of styles finds it, wherever it was then, beside `path` or here, unless `styles` says where it is.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    try:
        told = schema.checked(upgraded_tree(schema.read_object(path)), Told, str(path))
        start: dict[str, Any] = {**told["start"]}
        if "styles" not in start and "seed" not in start:
            raise FormatError(f"{path}: its start has neither a seed nor styles")
    except FormatError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise SettingError(f"{path} is no edit that can be done again ({reason}); `sfumato edit` writes such files") from error
    if told["weights"] != weights_hash(network):
        raise SettingError(f"{path} is an edit with another model than this")
    if styles is not None and "styles" not in start:
        raise SettingError(f"{path} is an edit of a seed's image; leave --styles out")
    moves = [_move(row) for row in told["moves"]]
    place = {"styles": str(styles or _near(start["styles"], path.parent))} if "styles" in start else {}
    return edit(source, begun(source, start | place), moves, device=device), start | place


def _move(row: MoveRow) -> Move:
    first, last = row["layers"]
    return Move(vector=tuple(row["vector"]), strength=row["strength"], layers=(first, last), name=row["name"])


def _near(styles: str, folder: Path) -> Path:
    """The file of styles that an edit in `folder` names: below this folder or that one, where the edit says, or else by its name alone."""
    inner, name = inner_path(styles), last_part(styles)
    places = [base / place for place in (inner, name) if place for base in (Path(), folder)]
    if found := next((path for path in places if path.is_file()), None):
        return found
    raise SettingError(f"the edit started at {quoted(styles)}, which lies neither beside it nor here; name it with --styles")


def begun(model: Model, start: dict[str, Any]) -> LatentImage:
    """The subject that a start names: a seed with label and truncation, or a file of styles."""
    if "styles" in start:
        return subjects.load(Path(start["styles"]), model)
    return subjects.drawn(model, int(start["seed"]), label=start.get("label"), truncation=float(start.get("truncation", 1.0)))


def _seen_from(path: Path, folder: Path) -> str:
    """The path as it is written down: from `folder`, if it lies there, else as `inside` has it."""
    whole, there = path.absolute(), folder.absolute()
    return str(whole.relative_to(there)) if whole.is_relative_to(there) else inside(path)


def _pair(text: str) -> Span:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
