"""Writes the table of bundled models into README.md and docs/models.md, from the models' own cards.

python -m scripts.tables
"""

import re
from pathlib import Path
from typing import Any

from sfumato.store import checkpoint, weights

PAGES = ("README.md", "docs/models.md")
ROWS = {
    "accuracy": "test accuracy {:.2%}",
    "negative_log_likelihood": "{:.2f} nats on test images",
    "shows_asked_class": "shows the class asked for: {:.2%}",
    "frechet": "Frechet distance {:.3g}",
    "floor_frechet": "(real test images: {:.3g})",
    "accuracy_score": "a classifier trained on its images alone: {:.2%} on real ones",
}


def table() -> str:
    """The rows, as Markdown."""
    lines = ["| model | what it is | measured |", "|---|---|---|"]
    for name, path in weights.bundled().items():
        header = checkpoint.read_header(path)
        card: dict[str, Any] = header["card"]
        figures = {m["name"]: m["value"] for m in card["metrics"]}
        shown = [text.format(figures[key]) for key, text in ROWS.items() if key in figures]
        family = header["model"]["is"].split("/")[1]
        what = f"{family} on {card['data']['name']}, {card['images_seen'] / 1e6:.2f} M images seen, {path.stat().st_size / 1e6:.1f} MB"
        lines.append(f"| `{name}` | {what} | {', '.join(shown).replace(', (', ' (')} |")
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
