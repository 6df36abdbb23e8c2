"""Writes the table of bundled models into README.md and docs/models.md, from the models' own cards.

python -m scripts.tables
"""

import re
from pathlib import Path

from sfumato.store.zoo import list_models

PAGES = ("README.md", "docs/models.md")


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


def write(page: Path) -> str:
    """`page` with a fresh table between its marks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"(<!-- models -->\n).*?(\n<!-- end -->)", lambda m: m[1] + table() + m[2], text, flags=re.S)


def main() -> None:
    for name in PAGES:
        page = Path(name)
        page.write_text(write(page), encoding="utf-8")


if __name__ == "__main__":
    main()
