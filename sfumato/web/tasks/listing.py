"""The models at hand, and what each can be asked for."""

from pathlib import Path
from typing import cast

import sfumato as sf
from sfumato.core.errors import SfumatoError
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.tasks.values import word


def catalogue(arguments: JsonObject, folder: Path) -> JsonObject:
    """Every model with its card, its kind, and the facts that the pages need: classes, styles, size."""
    return {
        "models": [_facts(entry) for entry in sf.list_models(word(arguments, "runs") or None)],
        "recipes": cast(Json, sf.list_recipes()),
    }


def _facts(entry: "sf.ModelEntry") -> JsonObject:
    """The facts about one model, for JSON."""
    card = entry.card
    facts: JsonObject = {
        "name": entry.name,
        "megabytes": entry.megabytes,
        "family": entry.family,
        "headline": entry.headline,
        "problem": entry.problem,
        "licence": card.licence,
        "data": card.data.name,
        "terms": card.data.terms,
        "images": card.images_seen,
        "minutes": card.minutes,
        "figures": [{"name": each.name, "value": each.value, "protocol": dict(each.protocol)} for each in card.metrics],
        "classes": list(card.data.class_names),
        "kind": "other",
    }
    if not entry.problem:
        try:
            facts |= _abilities(entry)
        except SfumatoError as error:
            facts["problem"] = str(error)
    return facts


def _abilities(entry: "sf.ModelEntry") -> JsonObject:
    """The kind of the network by what it offers, and its facts."""
    network: object = sf.load(entry.path).network
    kind = next((kind for kind, offer in _OFFERS.items() if hasattr(network, offer)), "other")
    count = getattr(network, "classes", 0) or 0
    names = list(entry.card.data.class_names)
    facts: JsonObject = {"kind": kind, "encodes": hasattr(network, "posterior")}
    if kind in ("generator", "classifier"):
        facts["classes"] = cast(Json, names if len(names) == count else [str(i) for i in range(count)])
    if kind == "generator":
        styles = getattr(network, "styles", 0)
        facts |= {"styles": int(styles) if styles else 0, "size": list(getattr(network, "size", ()))}
    return facts


_OFFERS = {"generator": "sample_with", "codec": "fit_tables", "restorer": "receptive_radius", "classifier": "scores"}
"""A method or a fact that only networks of a kind have."""
