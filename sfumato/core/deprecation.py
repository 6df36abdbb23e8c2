"""Names of earlier versions, which go on working with a warning."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

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

    def read(instance: Any) -> Any:
        warnings.warn(f"{type(instance).__name__}.{old} is now called {new}", DeprecationWarning, stacklevel=2)
        return getattr(instance, new)

    return property(read, doc=f"Earlier name of `{new}`.")
