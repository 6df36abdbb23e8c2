"""Which settings are searched, and between which values: from the ranges and choices in the types of the settings.

lr                  a number: a factor of 100 around the default, within its range, on a logarithmic scale
model.width         a whole number: a factor of 4 around the default, in steps that the default is a multiple of
optimiser           a choice: all values
lr=1e-4:1e-2        a range of one's own
batch=16,32,64      values of one's own
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, TypeAlias, cast, get_args, get_origin, get_type_hints, runtime_checkable

from sfumato.core.catalog import suggest
from sfumato.core.config import Range, family, fields_of, override, problem
from sfumato.core.errors import SettingError
from sfumato.train.settings import TrainSettings

Value: TypeAlias = bool | int | float | str

USUAL = ("lr", "batch", "model.width", "weight_decay")
"""The settings that are searched without --search, where a recipe has them."""
FIXED = {
    "images": "the budget decides it",
    "budget": "the trials have budgets of their own",
    "data": "figures of different images cannot be compared",
    "start": "it names weights",
    "validation": "figures of different images cannot be compared",
    "crop": "figures of different images cannot be compared",
    "tolerance": "it decides which images there are",
    "without_duplicates": "figures of different images cannot be compared",
    "seed": "the comparison draws fresh seeds",
    "log_every": "it changes no weights",
    "sample_every": "it changes no weights",
    "save_every": "it changes no weights",
    "keep_paths": "it changes no weights",
    "doctor": "it changes no weights unless a run fails",
    "model.likelihood": "figures of different likelihoods cannot be compared",
}
"""Settings that cannot be searched, each with the reason."""
_WIDE, _NARROW, _DECADE, _STEP = 100.0, 4, 10.0, 8


@runtime_checkable
class Suggester(Protocol):
    """The part of an Optuna trial that draws values."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number in [low, high]; on a logarithmic scale with `log`."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number in [low, high]; on a logarithmic scale with `log`."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> object:
        """One of `choices`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting that takes one of several values."""

    path: str
    values: tuple[Value, ...]
    default: Value

    def draw(self, trial: Suggester) -> Value:
        """The value for a trial."""
        return cast(Value, trial.suggest_categorical(self.path, self.values))

    def encoded(self) -> dict[str, Value]:
        """The parameters that stand for the default."""
        return {self.path: self.default}

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(map(str, self.values))}"


@dataclass(frozen=True, kw_only=True)
class Span:
    """A setting that takes a number between two ends."""

    path: str
    low: float
    high: float
    default: float
    log: bool
    step: int = 0
    """Whole numbers are multiples of it; 0 for numbers that need not be whole."""
    zero: bool = False
    """Whether the value may also be 0, which no logarithmic scale has."""

    def draw(self, trial: Suggester) -> Value:
        """The value for a trial."""
        if self.zero and not trial.suggest_categorical(self._switch, (False, True)):
            return 0 if self.step else 0.0
        if self.step:
            low, high = math.ceil(self.low / self.step), math.floor(self.high / self.step)
            return self.step * trial.suggest_int(self.path, low, high, log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)

    def encoded(self) -> dict[str, Value]:
        """The parameters that stand for the default."""
        if self.zero and not self.default:
            return {self._switch: False}
        value = int(self.default) // self.step if self.step else float(self.default)
        return {**({self._switch: True} if self.zero else {}), self.path: value}

    @property
    def _switch(self) -> str:
        return f"{self.path} above 0"

    def __str__(self) -> str:
        return f"{self.path}: {'0, or ' if self.zero else ''}{self.low:g} to {self.high:g}{' (logarithmic)' if self.log else ''}"


Dimension: TypeAlias = Choice | Span


def search_space(settings: TrainSettings, names: Sequence[str] = ()) -> list[Dimension]:
    """The dimensions of the search over `settings`: those that `names` give, or those of `USUAL` that the recipe has.

    A name is `path.to.field`, `path=LOW:HIGH` or `path=A,B,C`. Raises SettingError for a setting that does not exist or that cannot be
    searched, and for values that the setting does not take.
    """
    chosen = names or [path for path in USUAL if _searchable(settings, path)]
    if not chosen:
        raise SettingError("search names no settings, and the recipe has none of the usual ones; name some, such as lr,model.width")
    dimensions = [_dimension(settings, name) for name in chosen]
    paths = [dimension.path for dimension in dimensions]
    if double := next((path for path in paths if paths.count(path) > 1), None):
        raise SettingError(f"search names {double} twice; name it once")
    return dimensions


def parts(search: str) -> list[str]:
    """The names in the text of `--search`: a comma divides names, except between the values of one.

    >>> parts("lr=1e-4:1e-2,batch=16,32,model.width")
    ['lr=1e-4:1e-2', 'batch=16,32', 'model.width']
    """
    names: list[str] = []
    for word in filter(None, map(str.strip, search.split(","))):
        listed = names and "=" in names[-1] and ":" not in names[-1] and "=" not in word
        if listed and not word.replace("_", "").replace(".", "").isalpha():
            names[-1] += f",{word}"
        else:
            names.append(word)
    return names


def with_values(settings: TrainSettings, values: dict[str, Value]) -> TrainSettings:
    """`settings` with other values by path. Raises SettingError if they cannot be together."""
    return override(settings, *(f"{path}={value if isinstance(value, str) else json.dumps(value)}" for path, value in values.items()))


def shown(value: Value) -> str:
    """A value for a person.

    >>> shown(0.00123456), shown(64)
    ('0.00123', '64')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _searchable(settings: TrainSettings, path: str) -> bool:
    """Whether the recipe has the setting, with a number in it."""
    try:
        return isinstance(_setting_at(settings, path)[0], int | float)
    except SettingError:
        return False


def _dimension(settings: TrainSettings, name: str) -> Dimension:
    """The dimension that one name describes."""
    path, equals, text = name.partition("=")
    path = path.strip().removeprefix("--").replace("-", "_")
    if reason := FIXED.get(path):
        raise SettingError(f"{path} cannot be searched: {reason}")
    value, hint = _setting_at(settings, path)
    kind, limits = _kind(hint)
    if not isinstance(value, bool | int | float | str):
        raise SettingError(f"{path} = {value} is neither a number nor a choice and cannot be searched; name another setting")
    dimension = _custom(path, value, text, limits) if equals else _default(path, value, kind, limits)
    ends = dimension.values if isinstance(dimension, Choice) else _ends(dimension)
    for end in ends:
        if wrong := problem(end, hint):
            raise SettingError(f"search = {name}: {path} = {shown(end)} {wrong}")
    return dimension


def _ends(span: Span) -> tuple[Value, ...]:
    return (int(span.low), int(span.high)) if span.step else (span.low, span.high)


def _setting_at(settings: object, path: str) -> tuple[object, object]:
    """The value and the type of the setting at `path`."""
    head, _, rest = path.partition(".")
    names = [field.name for field in fields_of(settings)]
    if head not in names:
        raise SettingError(f"{family(settings)} has no setting {head!r}{suggest(head, names)}; it has {', '.join(names)}")
    value = getattr(settings, head)
    return _setting_at(value, rest) if rest else (value, get_type_hints(type(settings), include_extras=True)[head])


def _kind(hint: object) -> tuple[object, Range | None]:
    """The type of a setting without its range, and the range."""
    if get_origin(hint) is not Annotated:
        return hint, None
    plain, *extras = get_args(hint)
    return plain, next((extra for extra in extras if isinstance(extra, Range)), None)


def _default(path: str, default: Value, kind: object, limits: Range | None) -> Dimension:
    """The dimension of a setting that comes without values."""
    if isinstance(default, bool):
        return Choice(path=path, values=(False, True), default=default)
    if get_origin(kind) is Literal:
        return Choice(path=path, values=get_args(kind), default=default)
    if isinstance(default, str) or limits is None:
        raise SettingError(f"{path} has neither a range nor choices; give values: {path}=A,B,C")
    if isinstance(default, int):
        if default == 0:
            raise SettingError(f"{path} is 0, which says nothing of its scale; give a range: {path}=1:100")
        step = math.gcd(default, _STEP)
        low, high = max(limits.low, step, default // _NARROW), min(limits.high, default * _NARROW)
        return Span(path=path, low=step * math.ceil(low / step), high=step * (high // step), default=default, log=True, step=step)
    if limits.high <= 1 and (default == 0 or default >= 1 / _DECADE):
        return Span(path=path, low=limits.low, high=limits.high, default=default, log=False)
    if default == 0:
        return Span(path=path, low=limits.high * 1e-6, high=limits.high / _DECADE, default=0.0, log=True, zero=True)
    low, high = max(limits.low, default / _WIDE), min(limits.high, default * _WIDE)
    return Span(path=path, low=low, high=high, default=default, log=high / low >= _DECADE)


def _custom(path: str, default: Value, text: str, limits: Range | None) -> Dimension:
    """The dimension of a setting that comes with a range or with values. The default is among them in any case."""
    if ":" not in text:
        values = tuple(_read(path, word, default) for word in text.split(",") if word.strip())
        if not values:
            raise SettingError(f"search = {path}= names no values; write {path}=A,B,C or {path}=LOW:HIGH")
        return Choice(path=path, values=tuple(dict.fromkeys((*values, default))), default=default)
    if isinstance(default, bool | str):
        raise SettingError(f"search = {path}={text} is a range, and {path} is no number; write {path}=A,B,C")
    low, high = (_read(path, word, default) for word in text.split(":", 1))
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low < high:
        raise SettingError(f"search = {path}={text}: the first end must be less than the second")
    zero = default == 0 < low
    low, high = (low, high) if zero else (min(low, default), max(high, default))
    log = low > 0 and high / low >= _DECADE
    return Span(path=path, low=low, high=high, default=default, log=log, step=int(isinstance(default, int)), zero=zero)


def _read(path: str, word: str, default: Value) -> Value:
    """The value that `word` stands for, of the type of the default."""
    word = word.strip()
    readers: dict[type, Callable[[str], Value]] = {bool: lambda text: {"true": True, "false": False}[text.lower()], int: int, float: float}
    try:
        value = readers.get(type(default), str)(word)
    except (ValueError, KeyError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"search = {path}={word}: {word!r} is no value of {path}, which is {default} by default")
    return value
