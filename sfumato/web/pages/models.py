"""The page Models: a card for each model, with its figures and the terms of its data."""

from collections.abc import Mapping

from sfumato.core.json_value import Json, JsonObject
from sfumato.web.pages.desk import Desk, Runner
from sfumato.web.studio import Catalogue
from sfumato.web.words import both, escaped


def add(desk: Desk) -> None:
    """Builds the page."""
    gr, catalogue = desk.gr, desk.studio.catalogue
    desk.note("models_hint")
    cards = gr.HTML("", elem_id="models-cards")
    runner = Runner(desk, "models")
    again = gr.Button(desk.label("refresh"), size="sm", elem_id="models-refresh")

    def finish(result: JsonObject, *_: object) -> tuple[object]:
        catalogue.refresh(result)
        return (cards_of(catalogue),)

    runner.connect(again.click, "catalogue", lambda: {"runs": str(desk.studio.settings.runs)}, finish, [], [cards])
    desk.when_listed(lambda: [cards_of(catalogue)], [cards])


def cards_of(catalogue: Catalogue) -> str:
    """The cards of all models, as HTML."""
    return f'<div class="cards">{"".join(map(_card, catalogue.models))}</div>'


def _card(model: JsonObject) -> str:
    """The card of one model."""
    title = f"<h3>{escaped(model['name'])}</h3>"
    if model["problem"]:
        return f'<article class="card">{title}<p>{both("m_problem", problem=str(model["problem"]))}</p></article>'
    size = f"{escaped(model['family'])}, {model['megabytes']:.1f} MB"
    lines = [
        f'<span class="kind">{both("m_kind_" + str(model["kind"]))}</span> · {size}',
        escaped(model["headline"]) if model["headline"] else both("m_nothing"),
        both("m_data", data=str(model["data"] or "?")),
        both("m_terms", terms=str(model["terms"] or "?")),
    ]
    if model["licence"]:
        lines.append(both("m_licence", licence=str(model["licence"])))
    if isinstance(images := model["images"], int) and isinstance(minutes := model["minutes"], int | float):
        lines.append(both("m_length", images=f"{images:,}", minutes=f"{minutes:.0f}"))
    return f'<article class="card">{title}{"".join(f"<p>{line}</p>" for line in lines)}{_figures(model["figures"])}</article>'


def _figures(figures: Json) -> str:
    """The figures of a card with their protocols, folded."""
    rows = [each for each in figures if isinstance(each, dict)] if isinstance(figures, list) else []
    if not rows:
        return ""
    return (
        f'<details><summary>{both("m_figures")}</summary><div class="scroll"><table>{"".join(map(_figure, rows))}</table></div></details>'
    )


def _figure(row: Mapping[str, Json]) -> str:
    """One figure: name, value, protocol."""
    protocol = row["protocol"]
    words = ", ".join(f"{name}: {value}" for name, value in protocol.items() if value is not None) if isinstance(protocol, dict) else ""
    value = row["value"]
    number = f"{value:.4g}" if isinstance(value, int | float) else escaped(value)
    return f"<tr><td>{escaped(row['name'])}</td><td><b>{number}</b></td><td>{escaped(words)}</td></tr>"
