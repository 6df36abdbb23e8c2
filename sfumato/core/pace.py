"""How far long work has come, told to whoever listens: a terminal, or nobody."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

Listener = Callable[[str, int, int], None]
"""Is told what is being done, how many are done, and of how many."""
T = TypeVar("T")

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def counted(items: Sequence[T], what: str) -> Iterator[T]:
    """The items one by one; whoever listens is told after each that so many of `what` are done.

    >>> with heard(lambda what, done, count: print(f"{what}: {done} of {count}")):
    ...     total = sum(counted([10, 20], "numbers"))
    numbers: 1 of 2
    numbers: 2 of 2
    """
    tell = _listener.get()
    for done, item in enumerate(items, start=1):
        yield item
        if tell is not None:
            tell(what, done, len(items))


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, `listener` is told how far work has come."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
