"""What verbs share: how one is added, the console, the flags that many have, the machine they run on. Nothing slow is imported."""

import contextlib
import functools
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import tyro
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from sfumato.cli.terminal import complain, console
from sfumato.core.progress import LogLines, Moment, heard

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")]
Recipe = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
Model = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
File = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
Pictures = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PICTURE ...")]

verbs = dict[str, Callable[..., Callable[[], None]]]()
"""The verbs by name; a call of one checks nothing and gives the work that is ready to be done."""
_WORDS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH", tuple[int, ...]: "INT ...", tuple[str, str]: "STR STR"}
Verb = TypeVar("Verb", bound=Callable[..., None])


def verb(function: Verb) -> Verb:
    """Adds a verb to the command line. The parser's part ends with a call that is ready to be made."""
    # For the help: it wraps lines itself, so what is broken in the source becomes one again; and INT says more than {None}|INT.
    function.__doc__ = re.sub(r"\n {9,}", " ", function.__doc__ or "")
    for name, kind in get_type_hints(function, include_extras=True).items():
        plain, *other = get_args(kind) or (kind,)
        if other == [type(None)] and plain in _WORDS:
            function.__annotations__[name] = Annotated[kind, tyro.conf.arg(metavar=_WORDS[plain])]

    @functools.wraps(function)
    def ready(*values: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(function, *values, **named)

    verbs[function.__name__.rstrip("_")] = ready
    return function


def about(name: str) -> str:
    """The first line of the help of the verb called `name`."""
    return (verbs[name].__doc__ or "").partition("\n")[0]


def overview() -> Table:
    """Every verb and what it does."""
    table = Table.grid(Column(no_wrap=True, style="bold"), Column(), padding=(0, 2, 0, 0))
    for name in verbs:
        table.add_row(name, about(name))
    return table


@contextlib.contextmanager
def machine(threads: int | None) -> Iterator[None]:
    """Torch set up for this process: allocator first, then threads. Who asks it to end gets the tidy end of an interruption."""
    from sfumato.core.device import keep_memory, set_threads

    keep_memory()
    set_threads(threads)
    before = signal.signal(signal.SIGTERM, _ended) if threading.current_thread() is threading.main_thread() else None
    try:
        with warnings.catch_warnings():
            # Pillow warns of a picture a little smaller than the largest that we take.
            warnings.filterwarnings("ignore", message=".*decompression bomb")
            warnings.showwarning = _warned
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def progress() -> Iterator[None]:
    """How far the work inside is and how long it will still take: a bar in a terminal, of which nothing is left, and lines in a log.

    What is remarked about the work is a line of its own, once.
    """
    remarks = set[str]()

    def remark(text: str) -> None:
        if text not in remarks:
            remarks.add(text)
            console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        with heard(LogLines(lambda line: console.print(line, highlight=False, soft_wrap=True)), remark=remark):
            yield
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:3.0f}%"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, visible=False)

        def show(moment: Moment) -> None:
            bar.update(task, completed=moment.share, description=str(moment), visible=moment.share < 1)

        with heard(show, remark=remark):
            yield


def _ended(number: int, frame: object) -> None:
    complain("told to end; what was saved before is whole")
    sys.exit(128 + number)


def _warned(message: Warning | str, *_: object) -> None:
    """A warning as a line, and not with the source that it comes from."""
    complain(" ".join(str(message).split()))
