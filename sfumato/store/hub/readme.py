"""The README of a pushed model, made from its card: licence, data and terms, figures with protocols, intended use, how to run it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.extras import install
from sfumato.core.json_value import Json
from sfumato.core.text import printable
from sfumato.models.roles.base import export_graphs
from sfumato.store.cards import ModelCard


@dataclass(frozen=True)
class _Use:
    """What networks of a role are for."""

    task: str
    """The hub's name of the task."""
    purpose: str
    commands: tuple[str, ...]


_GENERATES = _Use(
    "unconditional-image-generation",
    "Generating images like those of the training data, and editing them.",
    ("sfumato generate {model} --n 16 --out samples",),
)
_DESCRIBES = _Use(
    "image-feature-extraction",
    "Feature vectors of pictures, for search, grouping and measurement.",
    ("sfumato embed photos --model {model} --out photos.index",),
)
_USES = {
    "restorer": _Use(
        "image-to-image",
        "Restoring pictures with the degradations that the training names. Details in the result are estimates, not evidence.",
        ("sfumato restore photo.jpg --model {model} --out restored.png",),
    ),
    "codec_analysis": _Use(
        "image-to-image",
        "Compressing pictures. Its files are read with this model alone.",
        ("sfumato compress photo.jpg --model {model} --out photo.sfm", "sfumato decompress photo.sfm --model {model}"),
    ),
    "generator": _GENERATES,
    "style_generator": _GENERATES,
    "encoder": _GENERATES,
    "feature_extractor": _DESCRIBES,
    "classifier": _Use(
        "image-classification",
        "Sorting pictures into the classes of the training data, and features of pictures.",
        ("sfumato features {model}", "sfumato embed photos --model {model} --out photos.index"),
    ),
    "perceptual_metric": _Use("other", "The perceived distance of two pictures.", ()),
}
_OTHERWISE = _Use("other", "The purpose that its training names.", ())
_SPDX = {"Apache-2.0": "apache-2.0", "MIT": "mit", "BSD-3-Clause": "bsd-3-clause", "CC0-1.0": "cc0-1.0"}
"""Licences that the hub has a name for, by the beginning of a card's text."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The file that the README describes."""

    megabytes: float
    sha256: str
    pictures: Sequence[str] = ()
    """Names of the pictures beside it."""


def readme(address: str, network: nn.Module, family: str, card: ModelCard, contents: Contents) -> str:
    """The text of README.md, in Markdown with the hub's header, for a model that is loaded from `address`.

    A licence, terms or figures that the card lacks are said to be unknown; none is made up.
    """
    use = _USES.get(_role(network), _OTHERWISE)
    name = address.rpartition("/")[2]
    parts = [
        _header(use, family, card),
        f"# {_line(name)}\n\nA {family} network for [Sfumato](https://pypi.org/project/sfumato/), a toolkit for neural images.",
        *(f"![{_line(each)}]({each})" for each in contents.pictures),
        f"## Intended use\n\n{use.purpose}",
        _how_to_run(address, use),
        f"## Licence\n\n{_line(_licence(card)) or 'No licence is stated.'}",
        _data(card),
        _figures(card),
        f"## File\n\n`model.safetensors`, {contents.megabytes:.2f} MB, tensors and JSON alone; SHA-256 `{contents.sha256}`."
        f" Made with {_line(card.made_with) or 'an unknown version'}.",
    ]
    return "\n\n".join(parts) + "\n"


def _role(network: nn.Module) -> str:
    try:
        graphs = export_graphs(network)
    except SettingError:
        return ""
    return next((graph.role for graph in graphs.values()), "")


def _header(use: _Use, family: str, card: ModelCard) -> str:
    """The header in YAML, whose values are written as JSON, which YAML contains."""
    text = _licence(card)
    short_name = next((short for name, short in _SPDX.items() if text.startswith(name)), "")
    fields: dict[str, object] = {"library_name": "sfumato", "tags": ["sfumato", family], "license": short_name or "other"}
    if not short_name:
        fields["license_name"] = text or "not stated"
    if use.task != "other":
        fields["pipeline_tag"] = use.task
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _how_to_run(address: str, use: _Use) -> str:
    commands = [each.format(model=address) for each in use.commands]
    return "\n".join(
        [
            "## How to run it\n",
            "```",
            f"{install('huggingface_hub')} sfumato",
            *commands,
            "```\n",
            f'In Python: `model = sfumato.load("{address}")`. Add `@REVISION` to keep one version.',
        ]
    )


def _licence(card: ModelCard) -> str:
    return card.licence or card.imported.licence


def _data(card: ModelCard) -> str:
    """The training data, their terms, and the origin of weights."""
    lines = ["## Training data and origin\n"]
    for label, data in (("Trained on", card.data), ("Its first weights were trained on", card.started_from.data)):
        if data.name or data.terms:
            count = f", {data.images:,} images" if data.images else ""
            lines.append(f"* {label} {_line(data.name) or 'unnamed data'}{count}. Terms: {_line(data.terms) or 'not stated'}.")
    if card.imported.file:
        source = card.imported
        origin = f", layout of {_line(source.origin)}" if source.origin else ""
        lines.append(f"* Converted from `{_line(source.file)}` (SHA-256 `{_line(source.sha256)}`): {_line(source.layout)}{origin}.")
    if card.images_seen:
        lines.append(f"* {card.images_seen:,} training images shown, in {card.minutes or 0:,.0f} minutes.")
    return "\n".join(lines if len(lines) > 1 else [*lines, "The card of the model does not name them."])


def _figures(card: ModelCard) -> str:
    """The figures in a table, each with its protocol."""
    if not card.metrics:
        return "## Figures\n\nNothing is measured yet."
    rows = [f"| {_cell(each.name)} | {each.value:.6g} | {_cell(_protocol(each.protocol))} |" for each in card.metrics]
    return "\n".join(["## Figures\n", "| figure | value | protocol |", "|---|---|---|", *rows])


def _protocol(protocol: Mapping[str, Json]) -> str:
    return ", ".join(f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in protocol.items())


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
