"""The terminal: all that the command line says goes through here, for what it says may hold text out of anybody's file."""

from collections.abc import Iterable
from typing import final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sfumato.core.text import printable


@final
class Terminal(Console):
    """A console on which text can do nothing but stand: no control characters, no markup, no letters that the terminal has not."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written. Every way to the screen leads through here: lines, tables, live bars."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=self._fit(segment.text))

    def _fit(self, text: str) -> str:
        text = printable(text, lines=True)
        return text if text.isascii() else text.encode(self.encoding, "replace").decode(self.encoding)


console = Terminal()
_errors = Terminal(stderr=True)


def say(line: str) -> None:
    """A line to the letter, however long."""
    console.print(line, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """What went wrong, on the other channel, after the name of the program."""
    _errors.print(f"sfumato: {message}", highlight=False, soft_wrap=True)
