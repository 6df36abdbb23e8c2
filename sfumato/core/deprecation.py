"""Names of earlier versions, which go on working with a warning."""

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, ItemsView, KeysView
from typing import ParamSpec, TypeVar

from sfumato.core.json_value import Json, JsonObject

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a function whose arguments were renamed: `names` has the present name of each earlier one.

    A call with an earlier name warns (DeprecationWarning) and goes on. Raises TypeError for a call with both names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise TypeError(f"{function.__name__}: {old} is the earlier name of {new}; give one of them")
                warnings.warn(f"{function.__name__}: the argument {old} is now called {new}", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_attribute(old: str, new: str) -> property:
    """A property for an attribute that was renamed: reading `old` warns (DeprecationWarning) and returns `new`."""

    def read(instance: object) -> object:
        warnings.warn(f"{type(instance).__name__}.{old} is now called {new}", DeprecationWarning, stacklevel=2)
        return getattr(instance, new)

    return property(read, doc=f"Earlier name of `{new}`.")


class FormerDictionary(ABC):
    """An object with attributes that was a dictionary in earlier versions: reading it as one warns (DeprecationWarning) and goes on."""

    @abstractmethod
    def dump(self) -> JsonObject:
        """The dictionary."""

    def __getitem__(self, name: str) -> Json:
        """The value that the dictionary has under `name`. Raises KeyError."""
        return self._dictionary(name)[name]

    def __contains__(self, name: object) -> bool:
        """Whether the dictionary has `name`."""
        return name in self._dictionary(str(name))

    def get(self, name: str, default: Json = None) -> Json:
        """The value that the dictionary has under `name`, else `default`."""
        return self._dictionary(name).get(name, default)

    def keys(self) -> KeysView[str]:
        """The names in the dictionary."""
        return self._dictionary("name").keys()

    def items(self) -> ItemsView[str, Json]:
        """The names and values in the dictionary."""
        return self._dictionary("name").items()

    def _dictionary(self, name: str) -> JsonObject:
        kind = type(self).__name__
        message = f"{kind} is no dictionary any more: write .{name} for a value, .dump() for the dictionary"
        warnings.warn(message, DeprecationWarning, stacklevel=3)
        return self.dump()
