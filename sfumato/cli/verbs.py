"""What verbs share: how one is added, the console, the flags that many have, the machine they run on. Nothing slow is imported."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")]
Name = tyro.conf.Positional[str]

console = Console(soft_wrap=False, markup=False)
app = tyro.extras.SubcommandApp()
Verb = TypeVar("Verb", bound=Callable[..., None])


def verb(function: Verb) -> Verb:
    """Adds a verb to the command line. The parser's part ends with a call that is ready to be made."""

    @functools.wraps(function)
    def ready(*values: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(function, *values, **named)

    app.command(name=function.__name__.rstrip("_"))(ready)
    return function


@contextlib.contextmanager
def machine(threads: int | None) -> Iterator[None]:
    """Torch set up for this process: allocator first, then threads."""
    from sfumato.core import runtime

    runtime.keep_memory()
    runtime.set_threads(threads)
    yield
