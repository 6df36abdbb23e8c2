"""Figures as a table on the console. Light: it is imported with the command line."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(console: Console, report: Sequence[Any], *, title: str) -> None:
    """A table of figures, and below it each protocol once; notes stand in the table where figures of one protocol have their own."""
    table = Table("figure", "value", "95 % interval", "unit", "better", "how", title=title, title_justify="left")
    notes: dict[str, list[str]] = {}
    for m in report:
        if m.protocol.notes not in notes.setdefault(str(m.protocol), []):
            notes[str(m.protocol)].append(m.protocol.notes)
    for m in report:
        span = f"{m.interval[0]:.4g} to {m.interval[1]:.4g}" if m.interval else "-"
        own = f" {m.protocol.notes}" if len(notes[str(m.protocol)]) > 1 else ""
        how = f"[{list(notes).index(str(m.protocol)) + 1}]{own}"
        table.add_row(m.name, f"{m.value:.4g}", span, m.unit, "higher" if m.higher_is_better else "lower", Text(how))
    console.print(table)
    for number, (protocol, said) in enumerate(notes.items(), 1):
        console.print(Text(f"[{number}] {protocol}{f' ({said[0]})' if len(said) == 1 and said[0] else ''}"))
