"""SIGINT and SIGTERM: the first asks the loop to save and stop, the second stops at once."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType


class Interrupts:
    """While open, `caught` is the number of the first signal that came, or 0. A second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(ValueError):
                    self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            raise KeyboardInterrupt
        self.caught = number
