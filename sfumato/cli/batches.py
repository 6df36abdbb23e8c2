"""What verbs share that work on many files: the flags for workers, and the table of the pictures that failed."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from rich.table import Column, Table

from sfumato.cli.terminal import console, say
from sfumato.core.config import Range

Jobs = Annotated[
    int | None,
    Range(1, 1024, "processes"),
    tyro.conf.arg(
        help="Number of processes that share the pictures, each with one thread and its own network; with --on, the number of actors. "
        "Default: this process, with the threads of --threads."
    ),
]
Shard = Annotated[
    str,
    tyro.conf.arg(
        metavar="I/N",
        help="Work on the I-th of N parts of the pictures only, from 1/N to N/N: one part for each of several machines that share nothing "
        "but the folders. Default: all pictures.",
    ),
]
On = Annotated[
    str,
    tyro.conf.arg(
        metavar="ray|ray://HOST:PORT",
        help="Work on actors of Ray: of the cluster that this machine belongs to, or of another. Default: processes of this machine.",
    ),
]
_ROWS = 20
"""Most rows of the table; the manifest has all of them."""


def show_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Prints a table of the pictures that failed, each with its reason, if there are several."""
    if len(failures) < 2:
        return
    table = Table(Column("failed", overflow="fold"), Column("reason", overflow="fold"), title_justify="left")
    for source, reason in failures[:_ROWS]:
        table.add_row(source, reason.removeprefix(f"{source}: "))
    console.print(table)
    if len(failures) > _ROWS:
        say(f"and {len(failures) - _ROWS} more; the manifest lists all of them")
