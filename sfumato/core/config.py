"""Settings: frozen dataclasses, checked on creation, changed by dotted path, stored as JSON.

A field says its own limits in its type, and that one line serves the check, the command line's help and the docs:

    lr: Annotated[float, Range(0, 1)] = 2e-4
    '''Peak step size of the optimiser.'''

A class that may stand in a file has an id, which never changes (`id = "vae"`). On disk a tree of settings is plain JSON in which every
branch says its id (`"is": "vae"`). Reading it back looks that id up in the registry; nothing else can be named.
"""

import dataclasses
import functools
import inspect
import json
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.registry import FAMILIES
from sfumato.core.text import quoted

C = TypeVar("C")


@dataclass(frozen=True)
class Range:
    """Both ends included; `unit` is for people."""

    low: float
    high: float
    unit: str = ""

    def __str__(self) -> str:
        """The range for people: `8 to 1024 pixels`; without the upper end where that only keeps numbers from running over."""
        ends = f"{_digits(self.low)} or more" if self.high >= _ENDLESS else f"{_digits(self.low)} to {_digits(self.high)}"
        return f"{ends} {self.unit}".rstrip()

    def broken(self, number: float) -> str:
        """What is wrong with a `number` that lies outside, as a clause without a subject."""
        if self.low <= -_ENDLESS and self.high >= _ENDLESS:
            return "must be a finite number"
        if self.high < _ENDLESS:
            return f"is outside [{_digits(self.low)}, {_digits(self.high)}] {self.unit}".rstrip()
        return f"must be at least {_digits(self.low)}" if number < self.low else f"is more than {_digits(self.high)}"


_ENDLESS = 1e9
"""From here on the upper end of a range is there for arithmetic, and means nothing to people."""


def _digits(number: float) -> str:
    """The number without an exponent where it is whole."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[C]) -> type[C]:
    """Class decorator: a frozen keyword-only dataclass whose types, ranges and choices are checked on creation."""

    def check(self: object) -> None:
        for name, hint in _hints(type(self)).items():
            if wrong := problem(getattr(self, name), hint):
                raise SettingError(f"{family(self)}: {name} = {quoted(getattr(self, name))} {wrong}")
        if (own := getattr(self, "check", None)) is not None:
            own()

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def family(config: object) -> str:
    """The id of the family that settings belong to, such as `vae`; of settings without one, which no file may name, the module."""
    return getattr(type(config), "id", "") or type(config).__module__


def override(config: C, *assignments: str) -> C:
    """A copy with each `path.to.field=value` applied, all at once: settings that need each other may come in any order.

    Values are JSON, or else text. Raises SettingError naming the fields that do exist, the nearest first.
    """
    for assignment in assignments:
        if "=" not in assignment:
            raise SettingError(f"{assignment!r} sets nothing; write path.to.field=value")
    pairs = [assignment.partition("=") for assignment in assignments]
    return _replace(config, [(path.strip("-").split("."), text) for path, _, text in pairs])


def dump(config: object) -> JsonObject:
    """Settings as JSON-ready values; `parse(dump(config))` equals `config`."""
    return {"is": family(config), **{name: _plain(value) for name, value in _fields(config).items()}}


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dump(value) if dataclasses.is_dataclass(value) else cast(Json, value)


def _fields(config: object) -> dict[str, object]:
    """The values of the fields of settings by name; nothing for what has no fields."""
    return {field.name: getattr(config, field.name) for field in fields_of(config)}


def fields_of(config: object) -> tuple[dataclasses.Field[object], ...]:
    """The fields of settings, or of a class of settings; none for anything else."""
    return dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()


def parse(tree: object) -> object:
    """The settings that `dump` wrote.

    Only registered families can be named. Raises UnknownNameError for any other, SettingError for an unknown field, and for values that
    cannot be.
    """
    if isinstance(tree, list | tuple):
        return tuple(map(parse, tree))
    if not isinstance(tree, dict):
        return tree
    kind = FAMILIES.find(tree.get("is"))
    values = {str(key): parse(value) for key, value in tree.items() if key != "is"}
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise SettingError(f"{tree['is']} has no setting {quoted(key)}{suggest(key, names)}; it has {', '.join(names)}")
    try:
        return kind(**values)
    except SettingError:
        raise
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:  # each value fits, and they do not fit together
        raise SettingError(f"{tree['is']}: these settings cannot be together ({' '.join(str(error).split())[:200]})") from error


def parse_as(kind: type[C], tree: object) -> C:
    """As `parse`, for settings that are a `kind`. Raises SettingError for others."""
    config = parse(tree)
    if wrong := problem(config, kind):
        raise SettingError(f"the settings of {quoted(family(config))} {wrong}")
    return cast(C, config)


def changed(config: C, **values: object) -> C:
    """The settings `config` with other `values`, for settings whose class is known only when the program runs.

    Settings of a known class are changed by `dataclasses.replace`.
    """
    return type(config)(**{**_fields(config), **values})


def unregistered(value: object, place: str = "settings") -> str:
    """The first setting of a tree, the deepest first, that a new process would not read from a file as it is, and why; empty if none.

    Such are settings of a class that neither the package nor a plug-in has, and values that JSON does not have.
    """
    parts = {f"{place}[{i}]": part for i, part in enumerate(value)} if isinstance(value, tuple) else {}
    parts |= {f"{place}.{name}": part for name, part in _fields(value).items()}
    if inner := next(filter(None, (unregistered(part, name) for name, part in parts.items())), ""):
        return inner
    reason = FAMILIES.reason_lost(type(value)) if dataclasses.is_dataclass(value) else ""
    return f"{place} is a {type(value).__module__}.{type(value).__qualname__}, {reason or _CHANGED}" if reason or not _same(value) else ""


_CHANGED = "which a file does not give back as it is: use numbers, text, tuples of them, or settings"


def _same(value: object) -> bool:
    """Whether a value equals what a file gives back of it."""
    try:
        return bool(parse(json.loads(json.dumps(_plain(value)))) == value)
    except (SfumatoError, TypeError, ValueError):
        return False


@functools.cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls, include_extras=True)


def problem(value: object, hint: object) -> str:
    """Why `value` is not of the type `hint`, or outside its range, as a clause without a subject; empty if it is."""
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        if wrong := problem(value, hint):
            return wrong
        for limit in (e for e in extras if isinstance(e, Range)):
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and not limit.low <= number <= limit.high:
                    return limit.broken(number)
        return ""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return "" if value in choices else f"is none of {', '.join(map(str, choices))}{suggest(str(value), map(str, choices))}"
    if get_origin(hint) in (Union, types.UnionType):
        wrong = [problem(value, h) for h in get_args(hint)]
        return "" if "" in wrong else wrong[0]
    if get_origin(hint) is tuple:
        inner, *rest = get_args(hint)
        if not isinstance(value, tuple) or (Ellipsis not in rest and len(value) != 1 + len(rest)):
            return f"must be {hint}"
        return next(filter(None, (problem(v, inner) for v in value)), "")
    hint = get_origin(hint) or hint  # of a generic class its instances do not say the type arguments
    if not inspect.isclass(hint) or hint is Any:
        return ""
    allowed = (int, float) if hint is float else hint
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint in (int, float)):
        return f"must be of type {hint.__name__}"
    return ""


def _replace(config: C, changes: list[tuple[list[str], str]]) -> C:
    names = list(_fields(config))
    new: dict[str, object] = {}
    for (head, *rest), text in changes:
        if head not in names:
            raise SettingError(f"{family(config)} has no setting {head!r}{suggest(head, names)}; it has {', '.join(names)}")
        if not rest:
            new[head] = _value(text, getattr(config, head))
    for head in dict.fromkeys(path[0] for path, _ in changes):
        deeper = [(path[1:], text) for path, text in changes if path[0] == head and path[1:]]
        if deeper:
            new[head] = _replace(new.get(head, getattr(config, head)), deeper)
    return changed(config, **new) if new else config


def _value(text: str, old: object) -> object:
    """What `text` stands for in the place of `old`: a folder called 2024 is not a number."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(old, str) and not isinstance(value, str):
        return text
    if isinstance(value, list):
        return tuple(value)
    return float(value) if type(value) is int and isinstance(old, float) else value
