"""What stands for the classes and functions that pickled networks name: plain values, and objects that hold what they were given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch

from sfumato.store.pickles.machine import Buildable, Call, Known, Name, key
from sfumato.store.pickles.source import OBJECT, Source, Span, Stream

DEEP = 64
"""How deep values may lie in one another."""
_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class NotPlainError(Exception):
    """A value is a tensor, a module, or a name."""


@dataclass
class Module(Buildable):
    """A module of a network: its class's name, everything that it held, and the source of its class where the file has it, as text."""

    name: str
    state: dict[str, object] = field(default_factory=dict)
    source: str = ""

    def build(self, source: Source, state: object) -> None:
        if not isinstance(state, dict):
            raise source.refuse(f"a {self.name} gets a {type(state).__name__} for a state")
        self.state = state


class Namespace(dict[str, object], Buildable):
    """An argparse.Namespace: a dictionary."""

    def build(self, source: Source, state: object) -> None:
        """Takes the attributes of the namespace."""
        if not isinstance(state, dict):
            raise source.refuse(f"an argparse.Namespace gets a {type(state).__name__} for a state")
        self.update(state)


@dataclass
class Kind(Buildable):
    """A numpy dtype of plain numbers."""

    code: str

    def build(self, source: Source, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", "|", "=") or state[2:5] != (None, None, None):
            raise source.refuse(f"its numpy dtype {self.code} is not of plain numbers, lowest byte first")


@dataclass
class Array(Buildable):
    """A numpy array of plain numbers; empty until it is built."""

    values: object = None

    def build(self, source: Source, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise source.refuse("its numpy array has a state that is not read")
        _, shape, kind, by_column, data = state
        self.values = _numbers(source, data, kind, shape, "F" if by_column else "C").tolist()


def plain(source: Source, value: object, depth: int = 0) -> object:
    """`value` as numbers, text, lists and dictionaries; tuples, sets and arrays become lists, dtypes their names.

    Raises NotPlainError if there is anything else in it, CheckpointError if it is nested too deep or grows beyond measure.
    """
    source.spend(OBJECT)
    if depth > DEEP:
        raise source.refuse(f"its values lie more than {DEEP} deep in one another")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {key: plain(source, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(source, item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        source.spend(OBJECT * len(value))
        return sorted(value, key=str)
    if isinstance(value, Array):
        return plain(source, value.values, depth + 1)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    raise NotPlainError


def _numbers(source: Source, data: object, kind: object, shape: object, order: str = "C") -> np.ndarray:
    sizes = [n for n in (shape if isinstance(shape, tuple) else (shape,)) if type(n) is int and n >= 0]
    axes = len(shape) if isinstance(shape, tuple) else 1
    if not isinstance(kind, Kind) or not isinstance(data, Span) or len(sizes) != axes or axes > 8:
        raise source.refuse("its numpy array is not of plain numbers")
    if prod(sizes) * int(kind.code[1:]) != data.length:
        raise source.refuse(f"its numpy array of shape {tuple(sizes)} has {data.length} bytes")
    source.spend(data.length + OBJECT * prod(max(n, 1) for n in sizes))  # a list of a million empty lists has no numbers, but is large
    return np.frombuffer(
        Stream(source, data.start, data.start + data.length).take(data.length), "?" if kind.code == "b1" else f"<{kind.code}"
    ).reshape(sizes, order=order)  # pyright: ignore


def _scalar(source: Source, args: tuple[object, ...]) -> object:
    kind, data = args
    return _numbers(source, data, kind, ()).item()


def _array(source: Source, args: tuple[object, ...]) -> Array:
    data, kind, shape, *order = args
    return Array(_numbers(source, data, kind, shape, "F" if order == ["F"] else "C").tolist())


def _kind(source: Source, args: tuple[object, ...]) -> Kind:
    code = args[0] if args and isinstance(args[0], str) else ""  # what is no text may be endless to hash
    if code not in _NUMBERS:
        raise source.refuse(f"its numpy dtype {ascii(code)[:20]} is not of plain numbers")
    return Kind(code)


def _ordered(source: Source, args: tuple[object, ...]) -> dict[object, object]:
    pairs = args[0] if len(args) == 1 else []  # Python 2 writes its items as a list of lists
    if len(args) > 1 or not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise source.refuse("it makes a collections.OrderedDict in a way that is not read")
    source.spend(OBJECT * len(pairs))
    return {key(source, name): value for name, value in pairs}


def _counter(source: Source, args: tuple[object, ...]) -> dict[object, object]:
    counts = args[0] if args else {}
    if len(args) > 1 or not isinstance(counts, dict):
        raise source.refuse("it makes a collections.Counter in a way that is not read")
    return counts


def _set(source: Source, args: tuple[object, ...]) -> set[object]:
    items = args[0] if args else []
    if len(args) > 1 or not isinstance(items, list):
        raise source.refuse("it makes a builtins.set in a way that is not read")
    source.spend(OBJECT * (2 + len(items)))
    return {key(source, item) for item in items}


def _size(source: Source, args: tuple[object, ...]) -> tuple[object, ...]:
    if len(args) != 1 or not isinstance(args[0], tuple | list):
        raise source.refuse("it makes a torch.Size in a way that is not read")
    source.spend(8 * len(args[0]))
    return tuple(args[0])


def _device(source: Source, args: tuple[object, ...]) -> str:
    if not args or not isinstance(args[0], str):
        raise source.refuse("it makes a torch.device in a way that is not read")
    return args[0]


def _encode(source: Source, args: tuple[object, ...]) -> object:
    raise source.refuse(
        "it keeps its numbers as text (_codecs.encode), as pickles of protocol 2 do; save it again with protocol 3 or later"
    )


def named(*titles: str, call: Call | None = None, new: Callable[[], object] | None = None) -> dict[str, Name]:
    """A table in which each of `titles` stands for the same."""
    return {title: Name(title, call, new) for title in titles}


def _numpy(*titles: str, call: Call | None = None) -> dict[str, Name]:
    return named(*(f"{place}.{title}" for title in titles for place in ("numpy.core", "numpy._core")), call=call)


_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
PLAIN: Known = {
    **named("collections.OrderedDict", call=_ordered, new=dict),
    **named("collections.Counter", call=_counter),
    **named("builtins.set", "__builtin__.set", call=_set),
    **named("argparse.Namespace", new=Namespace),
    **named("torch.Size", call=_size),
    **named("torch.device", call=_device),
    **named("_codecs.encode", call=_encode),
    **named("numpy.dtype", call=_kind),
    **named("numpy.ndarray"),
    **_numpy("multiarray.scalar", call=_scalar),
    **_numpy("multiarray._reconstruct", call=lambda source, args: Array()),
    **_numpy("numeric._frombuffer", call=_array),
    **{f"torch.{name}": getattr(torch, name) for name in _DTYPES},
}
"""Names of plain values, by dotted name."""
