"""Shared by verbs that work on many files: the flags for workers, and the table of the pictures that failed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Column, Table

from sfumato.cli.terminal import console, say
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

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
Pack = Annotated[
    bool,
    tyro.conf.arg(
        help="Also write the results of each tar shard into a tar shard of the same name in --out, with the other files of its samples."
    ),
]
_ROWS = 20
"""Most rows of the table; the manifest has all of them."""


def show_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Prints a table of the pictures that failed if there are several: a row for each reason, with the first picture that has it."""
    if len(failures) < 2:
        return
    by_reason: dict[str, list[str]] = {}
    for source, reason in failures:
        by_reason.setdefault(reason.removeprefix(f"{source}: "), []).append(source)
    table = Table(Column("failed", overflow="fold"), Column("reason", overflow="fold"), title_justify="left")
    for reason, sources in list(by_reason.items())[:_ROWS]:
        table.add_row(sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more", reason)
    console.print(table)
    if left := sum(map(len, list(by_reason.values())[_ROWS:])):
        say(f"and {left} more; the manifest lists all of them")


def pack(results: Sequence[tuple[str, Path]], out: Path, *, by: str, overwrite: bool) -> None:
    """Packs the results of tar shards, and prints a line about each new shard. Raises SettingError if no picture came from a shard."""
    from sfumato.batch.tar_shards import pack_results

    paths = pack_results(results, out, by=by, overwrite=overwrite)
    if not paths:
        raise SettingError("--pack has no effect: no picture came from a tar shard; leave it out")
    for path in paths:
        say(f"packed -> {path}")
