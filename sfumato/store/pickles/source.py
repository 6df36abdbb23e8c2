"""A file read piece by piece: never past its end, and never more of it in memory than its size allows."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import torch

from sfumato.core.atomic_io import sha256
from sfumato.core.errors import CheckpointError

TIMES = 2
"""Reading a file may take this many times its size in memory."""
FLOOR = 8 << 20
"""And this many bytes on top: a Python object is larger than the bytes that describe it, however small the file's tensors are."""
OBJECT = 128
"""Bytes that one step of a pickle takes at the most, with its share of stack and memo, but for what its text takes."""


@dataclass(frozen=True)
class Span:
    """Bytes of the file that have not been read."""

    start: int
    length: int


@dataclass
class Source:
    """An open file, and what was made from it so far."""

    path: Path
    handle: BufferedReader
    size: int
    spent: int = 0
    named: int = 0
    _loaded: dict[int, torch.Tensor] = field(default_factory=dict)

    def refuse(self, why: str) -> CheckpointError:
        """The error to raise for what is not allowed."""
        return CheckpointError(f"{self.path}: refused, nothing of it was run: {why}")

    def damaged(self, why: str) -> CheckpointError:
        """The error to raise for what does not hold together."""
        return CheckpointError(f"{self.path}: damaged, or not a file of weights ({why})")

    def spend(self, count: int) -> None:
        """Notes that `count` bytes are about to be taken. Raises CheckpointError if that is more than the file's size allows."""
        self.spent += count
        if self.spent > TIMES * self.size + FLOOR:
            raise self.refuse(f"its {self.size} bytes ask for more than {TIMES} times their size and {FLOOR} bytes in memory")

    def name(self, count: int) -> None:
        """Notes that a tensor of `count` bytes got a name. Raises CheckpointError where few bytes go by very many names."""
        self.named += count
        if self.named > TIMES * self.size:
            raise self.refuse(f"its tensors, each for itself, are more than {TIMES} times its {self.size} bytes")

    def digest(self) -> str:
        """The file's SHA-256."""
        return sha256(self.handle)

    def load(self, span: Span) -> torch.Tensor:
        """The bytes of `span` as a tensor of uint8; asked again, the same tensor."""
        held = self._loaded.get(span.start)
        if held is None or held.numel() != span.length:
            self.spend(span.length)
            held = torch.empty(span.length, dtype=torch.uint8)
            self.handle.seek(span.start)
            if self.handle.readinto(held.numpy().data) != span.length:
                raise self.damaged(f"cut short inside the tensor at byte {span.start}")
            self._loaded[span.start] = held
        return held


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file at `path`, while it is read. Whatever reading it raises becomes a CheckpointError of one line."""
    try:
        with path.open("rb") as handle:
            yield Source(path, handle, path.stat().st_size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RecursionError, RuntimeError, struct.error) as error:
        raise CheckpointError(f"{path}: damaged, or not a file of weights ({' '.join(str(error).split())[:160]})") from error


class Stream:
    """A part of the file, from its beginning to its end; `at` is the place reached."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.source, self.at, self.end = source, start, end

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises CheckpointError if there are fewer."""
        start = self.at
        self.at += count
        if count < 0 or self.at > self.end:
            raise self._short(start, count)
        self.source.handle.seek(start)
        data = self.source.handle.read(count)
        if len(data) != count:
            raise self.source.damaged(f"cut short at byte {start + len(data)}")
        return data

    def skip(self, count: int) -> Span:
        """The next `count` bytes, unread. Raises CheckpointError if there are fewer."""
        start = self.at
        self.at += count
        if count < 0 or self.at > self.end:
            raise self._short(start, count)
        return Span(start, count)

    def inner(self, count: int) -> "Stream":
        """The next `count` bytes as a stream of their own."""
        span = self.skip(count)
        return Stream(self.source, span.start, span.start + count)

    def number(self, count: int, *, signed: bool = False) -> int:
        """The next `count` bytes as a number, the lowest first."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def text(self, count: int) -> str:
        """The next `count` bytes as UTF-8; one character outside of the common plane makes all of them four bytes wide."""
        if count <= self.end - self.at:
            self.source.spend(4 * count)
        return self.take(count).decode("utf-8")

    def line(self) -> str:
        """What comes before the next line feed, which is taken too."""
        self.source.handle.seek(self.at)
        data = self.source.handle.readline(min(self.end - self.at, 512))
        if not data.endswith(b"\n"):
            raise self.source.damaged(f"a name of more than {len(data)} bytes at byte {self.at}")
        self.at += len(data)
        return data[:-1].decode("utf-8")

    def _short(self, start: int, count: int) -> CheckpointError:
        return self.source.damaged(f"cut short: at byte {start} it claims {count} more, and has {self.end - start}")
