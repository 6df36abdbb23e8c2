"""The command line of a benchmark that has several parts: the name of a part, then its arguments."""

import sys
from collections.abc import Callable, Sequence

Part = Callable[..., None]


def chosen_part(parts: Sequence[Part], words: str | None) -> tuple[Part, list[str]]:
    """The part that the command line names, and its arguments. Ends the program with `words`, its description, if it names none."""
    name, *rest = sys.argv[1:] or ["--help"]
    part = {part.__name__: part for part in parts}.get(name)
    if part is None:
        print((words or "").strip())
        raise SystemExit(0 if name in ("-h", "--help") else f"{name}: choose one of {', '.join(part.__name__ for part in parts)}")
    return part, rest
