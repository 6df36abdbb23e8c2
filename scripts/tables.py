"""Writes the tables of bundled models into README.md, docs/models.md and docs/licences.md, from the models' own cards.

python -m scripts.tables
"""

import re
from pathlib import Path

from sfumato.store.zoo import list_models

PAGES = ("README.md", "README.zh-CN.md", "docs/models.md", "docs/licences.md")


def table() -> str:
    """The rows, as Markdown."""
    lines = ["| model | what it is | measured |", "|---|---|---|"]
    for entry in list_models():
        card = entry.card
        what = (
            f"{entry.family} on {card.data.name}, {card.total_training()['images_seen'] / 1e6:.2f} M images seen, {entry.megabytes:.1f} MB"
        )
        lines.append(f"| `{entry.name}` | {what} | {entry.headline} |")
    return "\n".join(lines)


def licences() -> str:
    """The rows of licences, as Markdown."""
    lines = ["| model | weights | trained on, under the terms |", "|---|---|---|"]
    for entry in list_models():
        card = entry.card
        lines.append(f"| `{entry.name}` | {card.licence.split(' (')[0]} | {card.data.name}: {card.data.terms} |")
    return "\n".join(lines)


TABLES = {"models": table, "licences": licences}
"""The tables by the mark above each."""


def write(page: Path) -> str:
    """`page` with fresh tables between its marks."""
    text = page.read_text(encoding="utf-8")
    marks = rf"(<!-- ({'|'.join(TABLES)}) -->\n).*?(\n<!-- end -->)"
    return re.sub(marks, lambda m: m[1] + TABLES[m[2]]() + m[3], text, flags=re.S)


def main() -> None:
    for name in PAGES:
        page = Path(name)
        page.write_text(write(page), encoding="utf-8")


if __name__ == "__main__":
    main()
