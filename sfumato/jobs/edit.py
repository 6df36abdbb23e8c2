"""An image moved along directions: what was done is a short JSON file, which does it again to the bit."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.core import disk, outputs, runtime
from sfumato.core.errors import SettingError
from sfumato.core.image import Images, to_pixels
from sfumato.data import files
from sfumato.jobs import subject as subjects
from sfumato.jobs.directions import Directions, moved
from sfumato.jobs.generate import sampler
from sfumato.jobs.mix import Span, span
from sfumato.jobs.subject import Subject, shown
from sfumato.metrics.features import weights_hash

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
    subject: Subject
    images: Images
    """Before and after, in [0, 1]."""
    moves: tuple[Move, ...]


def edit(model: str | Path | nn.Module, subject: Subject, moves: Sequence[Move], *, device: str = "auto") -> Edited:
    """The image of `subject` before and after all `moves`. Raises SettingError for layers or a length of vector that do not fit."""
    network = sampler(model).to(runtime.device(device))
    styles = subject.styles
    for move in moves:
        if len(move.vector) != network.style_dim or not math.isfinite(move.strength):
            raise SettingError(
                f"{len(move.vector)} numbers at strength {move.strength:g} are no direction for styles of {network.style_dim}"
            )
        styles = moved(styles, torch.tensor(move.vector), move.strength, span(network, move.layers))
    after = Subject(styles=styles, label=subject.label, noise=subject.noise, origin=subject.origin)
    images = torch.cat([shown(network, subject), shown(network, after)])
    return Edited(subject=after, images=images, moves=tuple(moves))


def asked(found: Directions, words: Sequence[str]) -> list[Move]:
    """The moves that `name=strength` or `number=strength@layers` ask for. Raises SettingError for other words and unknown names."""
    moves = []
    for word in words:
        which, _, rest = word.rpartition("=")
        strength, _, layers = rest.partition("@")
        try:
            if not which:
                raise ValueError("no name")
            index, first, last = found.find(which), *(found.layers if not layers else _pair(layers))
            moves.append(
                Move(vector=tuple(found.vectors[index].tolist()), strength=float(strength), layers=(first, last), name=found.names[index])
            )
        except ValueError as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError(f"{word!r} is no move; write brighter=2, or 3=-1.5@0-4 for direction 3 in layers 0 to 4") from error
    return moves


def save(done: Edited, out: Path, network: Any, *, start: dict[str, Any]) -> list[Path]:
    """Writes the image after to `out`, and beside it, as .json, all that `replay` needs: the `start` and the moves. Returns the paths."""
    _, told = output_files(out)
    files.save_image(out, to_pixels(done.images[1:]))
    moves = [vars(move) | {"layers": list(move.layers), "vector": list(move.vector)} for move in done.moves]
    disk.write(told, json.dumps({"is": KIND, "weights": weights_hash(network), "start": start, "moves": moves}, indent=1) + "\n")
    return [out, told]


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out, out.with_suffix(".json")]


def replay(model: str | Path | nn.Module, path: Path, *, device: str = "auto") -> tuple[Edited, dict[str, Any]]:
    """What the edit saved at `path` did, done again, and where it started. Raises SettingError if it is of another model or no edit."""
    network = sampler(model).to(runtime.device(device))
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["is"] != KIND:
            raise KeyError("is")
        start: dict[str, Any] = dict(told["start"])
        if not isinstance(start.get("styles", ""), str) or not isinstance(start["seed"] if "styles" not in start else 0, int):
            raise KeyError("start")
        float(start.get("truncation", 1.0))  # raises what is caught below
        moves = [
            Move(
                vector=tuple(map(float, move["vector"])),
                strength=float(move["strength"]),
                layers=(int(move["layers"][0]), int(move["layers"][1])),
                name=str(move["name"]),
            )
            for move in told["moves"]
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SettingError(f"{path} is no edit that can be done again; `sfumato edit` writes such files") from error
    if told.get("weights") != weights_hash(network):
        raise SettingError(f"{path} is an edit with another model than this")
    return edit(network, begun(network, start, beside=path.parent), moves, device=device), start


def begun(network: Any, start: dict[str, Any], *, beside: Path = Path()) -> Subject:
    """The subject that a start names: a seed with label and truncation, or a file of styles, looked for `beside` too."""
    if "styles" in start:
        path = Path(start["styles"])
        return subjects.load(path if path.exists() else beside / path.name, network)
    return subjects.drawn(network, int(start["seed"]), label=start.get("label"), truncation=float(start.get("truncation", 1.0)))


def _pair(text: str) -> Span:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
