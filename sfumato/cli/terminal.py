"""The terminal. Every line of the command line goes through here, since a line may hold text from a file of anybody."""

from collections.abc import Iterable
from pathlib import Path
from typing import final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sfumato.core.text import printable

_names: dict[str, str] = {}
"""Paths of temporary files, each with the name that lines have in its place."""


def call(path: Path, name: str) -> None:
    """From now on, every line calls the temporary file at `path` by `name`."""
    _names[str(path)] = name


@final
class Terminal(Console):
    """A console that shows plain text: no control characters, no markup, and `?` for letters that the terminal does not have."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable with safe text. Lines, tables and live bars all come through here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=self._fit(segment.text))

    def _fit(self, text: str) -> str:
        for path, name in _names.items():
            text = text.replace(path, name)
        text = printable(text, lines=True)
        return text if text.isascii() else text.encode(self.encoding, "replace").decode(self.encoding)


console = Terminal()
_errors = Terminal(stderr=True)


def say(line: str) -> None:
    """Prints a line as it is, without breaking it."""
    console.print(line, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """Prints an error or a warning to standard error, behind the name of the program."""
    _errors.print(f"sfumato: {message}", highlight=False, soft_wrap=True)
