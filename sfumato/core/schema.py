"""JSON from files that anybody may have written, checked where it is read: bounded in size and depth, and of the shape that it must have.

A shape is a `TypedDict`, whose leaves are the types of settings, with their ranges:

    class Move(TypedDict):
        name: str
        strength: Annotated[float, Range(-100, 100)]

    move = schema.read(path, Move)

Keys that a shape does not name are left as they are. What does not fit is one FormatError, which names the place and the value.
"""

import functools
import json
import types
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from sfumato.core.config import Range, problem
from sfumato.core.errors import FormatError
from sfumato.core.text import quoted

LARGEST = 1 << 24
"""Bytes of one text; ours have some thousands."""
DEEPEST = 40
"""Lists and objects inside one another; ours have at most ten."""
Finite = Annotated[float, Range(-1e300, 1e300)]
Whole = Annotated[int, Range(0, 2**63 - 1)]


def read(path: Path, kind: Any) -> Any:
    """What the JSON file at `path` holds, if it is of the shape `kind`. Raises FormatError, also for what is no file or too large."""
    if not path.is_file():
        raise FormatError(f"{path}: there is no such file")
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(f"{path}: is larger than {LARGEST >> 20} MiB, and no file of ours")
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parsed(content, kind, str(path))


def parsed(text: str | bytes, kind: Any, name: str) -> Any:
    """What the JSON `text` says, if it is of the shape `kind`; `name` is what errors call it. Raises FormatError."""
    if len(text) > LARGEST:
        raise FormatError(f"{name}: is longer than {LARGEST:,} characters")
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise FormatError(f"{name}: is nested more than {DEEPEST} deep") from error
    except ValueError as error:
        raise FormatError(f"{name}: is no JSON ({error})") from error
    if _deep(value):
        raise FormatError(f"{name}: is nested more than {DEEPEST} deep")
    return checked(value, kind, name)


def checked(value: Any, kind: Any, name: str) -> Any:
    """`value`, out of JSON, if it is of the shape `kind`. Raises FormatError, which names the first place where it is not."""
    if misfit := _misfit(value, kind, ""):
        raise FormatError(f"{name}: {misfit}")
    return value


def _misfit(value: Any, kind: Any, place: str) -> str:
    """Where `value` is not of the shape `kind`, and why; nothing if it is."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired):
        return _misfit(value, inner[0], place)
    if is_typeddict(kind):
        return _misfit_of_object(value, kind, place)
    if origin in (Union, types.UnionType):
        misfits = [_misfit(value, each, place) for each in inner]
        return "" if "" in misfits else misfits[0]
    if origin is dict:
        return _first(value, dict, "an object", place, lambda: [(v, inner[1], f"{place}.{key}") for key, v in value.items()])
    if origin is list:
        return _first(value, list, "a list", place, lambda: [(v, inner[0], f"{place}[{i}]") for i, v in enumerate(value)])
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(inner):
            return f"{_quoted(value, place)} must be a list of {len(inner)}"
        return _first(
            value, list, "", place, lambda: [(v, each, f"{place}[{i}]") for i, (v, each) in enumerate(zip(value, inner, strict=True))]
        )
    wrong = problem(value, kind)
    return f"{_quoted(value, place)} {wrong}" if wrong else ""


def _misfit_of_object(value: Any, kind: Any, place: str) -> str:
    if not isinstance(value, dict):
        return f"{_quoted(value, place)} must be an object"
    for key in kind.__required_keys__:
        if key not in value:
            return f"{place.lstrip('.') or 'it'} has no {key!r}"
    return next(filter(None, (_misfit(value[key], hint, f"{place}.{key}") for key, hint in _hints(kind).items() if key in value)), "")


def _first(value: Any, kind: type, noun: str, place: str, members: Any) -> str:
    """The first misfit among the members of a list or an object."""
    if not isinstance(value, kind):
        return f"{_quoted(value, place)} must be {noun}"
    return next(filter(None, (_misfit(*member) for member in members())), "")


def _quoted(value: Any, place: str) -> str:
    return f"{quoted(place.lstrip('.'))[1:-1] or 'it'} = {quoted(value)}"


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _whole(text: str) -> int:
    """A number that fits into 64 bits."""
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"a number of {len(text)} digits, and more than 64 bits")
    return value


def _deep(value: Any) -> bool:
    """Whether there are more than `DEEPEST` lists and objects inside one another."""
    level = [value]
    for _ in range(DEEPEST):
        level = [each for v in level if isinstance(v, dict | list) for each in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return False
    return True
