"""JSON from files that anybody may have written, checked where it is read: bounded in size and depth, and of the shape that it must have.

A shape is a `TypedDict`, or a dataclass that stands for an object, whose leaves are the types of settings, with their ranges:

    class Move(TypedDict):
        name: str
        strength: Annotated[float, Range(-100, 100)]

    move = schema.read(path, Move)

Keys that a shape does not name are left as they are. A dataclass has defaults for keys that may be absent or null. A value that does not
fit raises one FormatError, which names the place and the value.
"""

import dataclasses
import functools
import json
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, NotRequired, Required, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from sfumato.core.config import Range, fields_of, problem
from sfumato.core.errors import FormatError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.text import quoted

Shape = TypeVar("Shape")

LARGEST = 1 << 24
"""Bytes of one text; ours have some thousands."""
DEEPEST = 40
"""Lists and objects inside one another; ours have at most ten."""
Finite = Annotated[float, Range(-1e300, 1e300)]
Whole = Annotated[int, Range(0, 2**63 - 1)]


def read(path: Path, kind: type[Shape]) -> Shape:
    """The content of the JSON file at `path`, if it is of the shape `kind`. Raises FormatError, also for no file or one too large."""
    return checked(_value(_content(path), str(path)), kind, str(path))


def read_object(path: Path) -> JsonObject:
    """As `read`, for an object of any keys."""
    return _object(_value(_content(path), str(path)), str(path))


def parsed(text: str | bytes, kind: type[Shape], name: str) -> Shape:
    """The value of the JSON `text`, if it is of the shape `kind`; `name` is what errors call it. Raises FormatError."""
    return checked(_value(text, name), kind, name)


def parsed_object(text: str | bytes, name: str) -> JsonObject:
    """As `parsed`, for an object of any keys."""
    return _object(_value(text, name), name)


def checked(value: object, kind: type[Shape], name: str) -> Shape:
    """`value`, out of JSON, if it is of the shape `kind`. Raises FormatError, which names the first place where it is not."""
    _check(value, kind, name)
    return cast(Shape, value)


def checked_record(value: object, kind: type, name: str) -> JsonObject:
    """As `checked`, for the dataclass `kind`: the object of JSON that the dataclass stands for, as it is."""
    _check(value, kind, name)
    return cast(JsonObject, value)


def _object(value: object, name: str) -> JsonObject:
    _check(value, JsonObject, name)
    return cast(JsonObject, value)


def _check(value: object, hint: object, name: str) -> None:
    if misfit := _misfit(value, hint, ""):
        raise FormatError(f"{name}: {misfit}")


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise FormatError(f"{path}: there is no such file")
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(f"{path}: is larger than {LARGEST >> 20} MiB, and no file of ours")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error


def _value(text: str | bytes, name: str) -> Json:
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
    return value


def _misfit(value: object, kind: object, place: str) -> str:
    """Where `value` is not of the shape `kind`, and why; nothing if it is."""
    if kind is str and isinstance(value, str):  # most values of a manifest, whose lines are many
        return ""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired):
        return _misfit(value, inner[0], place)
    if isinstance(kind, type) and is_typeddict(kind):
        return _misfit_of_object(value, getattr(kind, "__required_keys__", ()), _hints(kind), place)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _misfit_of_object(_set_values(value), required_fields(kind), _hints(kind), place)
    if origin in (Union, types.UnionType):
        misfits = [_misfit(value, each, place) for each in inner]
        return "" if "" in misfits else misfits[0]
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            return f"{_quoted(value, place)} must be an object"
        return _first((each, inner[1], f"{place}.{key}") for key, each in value.items())
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        if not isinstance(value, list):
            return f"{_quoted(value, place)} must be a list"
        return _first((each, inner[0], f"{place}[{i}]") for i, each in enumerate(value))
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(inner):
            return f"{_quoted(value, place)} must be a list of {len(inner)}"
        return _first((each, hint, f"{place}[{i}]") for i, (each, hint) in enumerate(zip(value, inner, strict=True)))
    wrong = problem(value, kind)
    return f"{_quoted(value, place)} {wrong}" if wrong else ""


def _misfit_of_object(value: object, required: Iterable[str], hints: Mapping[str, object], place: str) -> str:
    if not isinstance(value, dict):
        return f"{_quoted(value, place)} must be an object"
    for key in required:
        if key not in value:
            return f"{place.lstrip('.') or 'it'} has no {key!r}"
    return _first((value[key], hint, f"{place}.{key}") for key, hint in hints.items() if key in value)


def _set_values(value: object) -> object:
    """An object without the keys that are null."""
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def required_fields(kind: type) -> list[str]:
    """The fields of a dataclass that have no default."""
    absent = dataclasses.MISSING
    return [field.name for field in fields_of(kind) if field.default is absent and field.default_factory is absent]


def _first(members: Iterable[tuple[object, object, str]]) -> str:
    """The first misfit among values, each with its type and its place."""
    return next(filter(None, (_misfit(*member) for member in members)), "")


def _quoted(value: object, place: str) -> str:
    return f"{quoted(place.lstrip('.'))[1:-1] or 'it'} = {quoted(value)}"


@functools.cache
def _hints(kind: type) -> dict[str, object]:
    return get_type_hints(kind, include_extras=True)


def _whole(text: str) -> int:
    """A number that fits into 64 bits."""
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"a number of {len(text)} digits, and more than 64 bits")
    return value


def _deep(value: Json) -> bool:
    """Whether there are more than `DEEPEST` lists and objects inside one another."""
    level = [value]
    for _ in range(DEEPEST):
        level = [each for v in level if isinstance(v, dict | list) for each in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return False
    return True
