"""Figures as a table on the console. Light: it is imported with the command line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from sfumato.metrics.base import Measurement, Protocol


def show(console: Console, report: "Sequence[Measurement]", *, title: str) -> None:
    """Prints a table of figures and, below it, their protocols: one in full, and of similar ones only the differences."""
    numbers: dict[tuple[str, str], int] = {}
    protocols: dict[int, Protocol] = {}
    figure, span = Column("figure", overflow="fold"), Column("95 % interval", no_wrap=True)
    table = Table(figure, "value", span, "unit", "better", "how", title=title, title_justify="left")
    for m in report:
        number = numbers.setdefault((str(m.protocol), m.protocol.notes), len(numbers) + 1)
        protocols.setdefault(number, m.protocol)
        interval = f"{m.interval[0]:.4g} to {m.interval[1]:.4g}" if m.interval else "-"
        table.add_row(m.name, f"{m.value:.4g}", interval, m.unit, "higher" if m.higher_is_better else "lower", Text(f"[{number}]"))
    console.print(table)
    whole: dict[int, Protocol] = {}
    for number, protocol in protocols.items():
        beside = [(words, k) for k, first in whole.items() if (words := protocol.beside(first)) is not None]
        words, like = min(beside, key=lambda pair: len(pair[0]), default=(str(protocol), 0))
        if len(words) > len(str(protocol)) / 2:
            whole[number], sentence = protocol, str(protocol)
        else:
            sentence = f"as [{like}], but {words}" if words else f"as [{like}]"
        console.print(Text(f"[{number}] {sentence}{f' ({protocol.notes})' if protocol.notes else ''}"))
