"""Frozen dataclasses that stand for objects of JSON: one reader, which checks, and one writer.

    @dataclass(frozen=True, kw_only=True)
    class Figure(Record):
        name: str
        value: float | None = None

    Figure.read({"name": "psnr", "unit": "dB"}).dump()      {"name": "psnr", "unit": "dB"}

Fields that are not set are absent in the JSON. Fields that the class does not have are kept in `extra`.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import ClassVar, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sfumato.core import schema
from sfumato.core.deprecation import FormerDictionary
from sfumato.core.json_value import Json, JsonObject

R = TypeVar("R", bound="Record")


@dataclass(frozen=True, kw_only=True)
class Record(FormerDictionary):
    """An object of JSON. Fields have types of JSON, other records, or tuples of them."""

    always_dumped: ClassVar[frozenset[str]] = frozenset()
    """Fields with a default that are in the JSON even if they are not set."""
    extra: Mapping[str, Json] = field(default_factory=dict)
    """Fields of the JSON that this class does not have, and fields that are null."""

    @classmethod
    def read(cls: type[R], tree: object, name: str) -> R:
        """The record in `tree`, which errors call `name`.

        Raises FormatError, with the place and the value, if `tree` is no object, or if a field has another type.
        """
        return cls.from_checked(schema.checked_record(tree, cls, name))

    def dump(self) -> JsonObject:
        """The record as JSON."""
        values = {name: _plain(getattr(self, name)) for name in _hints(type(self))}
        always = {*self.always_dumped, *schema.required_fields(type(self))}
        return {name: value for name, value in values.items() if name in always or value not in _UNSET} | dict(self.extra)

    @classmethod
    def from_checked(cls: type[R], tree: JsonObject) -> R:
        """The record in `tree`, which `schema.checked` has passed."""
        hints = _hints(cls)
        values = {name: _converted(value, hints[name]) for name, value in tree.items() if name in hints and value is not None}
        extra = {name: value for name, value in tree.items() if name not in hints or value is None}
        return cls(**{"extra": extra, **values})


_UNSET: tuple[Json, ...] = (None, "", [], {})
"""Values that stand for nothing."""


@functools.cache
def _hints(kind: type) -> Mapping[str, object]:
    """The types of the fields of a record."""
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in ("extra", "always_dumped")}


def _converted(value: Json, hint: object) -> object:
    """A value of JSON as a field of the type `hint` holds it."""
    if get_origin(hint) in (Union, UnionType):
        (hint, *_) = (each for each in get_args(hint) if each is not type(None))
    if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_checked(value)
    if isinstance(value, list) and get_origin(hint) is tuple:
        return tuple(_converted(each, get_args(hint)[0]) for each in value)
    return value


def _plain(value: object) -> Json:
    """A value of a field as JSON."""
    if isinstance(value, Record):
        return value.dump()
    return [_plain(each) for each in value] if isinstance(value, tuple) else cast(Json, value)
