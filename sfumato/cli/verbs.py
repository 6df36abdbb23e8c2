"""What verbs share: how one is added, the console, the flags that many have, the machine they run on. Nothing slow is imported."""

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")]
Name = tyro.conf.Positional[str]

console = Console(soft_wrap=False, markup=False)
app = tyro.extras.SubcommandApp()
verbs = list[str]()
"""Their names."""
Verb = TypeVar("Verb", bound=Callable[..., None])


def verb(function: Verb) -> Verb:
    """Adds a verb to the command line. The parser's part ends with a call that is ready to be made."""

    @functools.wraps(function)
    def ready(*values: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(function, *values, **named)

    verbs.append(function.__name__.rstrip("_"))
    app.command(name=verbs[-1])(ready)
    return function


@contextlib.contextmanager
def machine(threads: int | None) -> Iterator[None]:
    """Torch set up for this process: allocator first, then threads. Who asks it to end gets the tidy end of an interruption."""
    from sfumato.core import runtime

    runtime.keep_memory()
    runtime.set_threads(threads)
    before = signal.signal(signal.SIGTERM, _ended) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _ended(number: int, frame: object) -> None:
    print("sfumato: told to end; what was saved before is whole", file=sys.stderr)
    sys.exit(128 + number)
