"""Everything public is documented: each module, class, function and method says what it is or returns.

A nested function, a method that overrides a documented one of a base class, and a method that settings have by the contract of their room
(`build` of models/base.py, `phases` of objectives/base.py, `__call__` of degradations/base.py, `check` of core/config.py) need no
docstring of their own.
"""

import importlib
import inspect
import pkgutil
import typing

import pytest

import sfumato
from sfumato.core.errors import MissingExtraError

BY_CONTRACT = {"build", "phases", "check"}
"""Methods of settings that the protocols of their rooms document."""

MISSING: set[str] = set()
"""Public things that have no docstring yet; nothing is added here."""


def modules():
    """Every module of the package, by name."""
    return sorted(each.name for each in pkgutil.walk_packages(sfumato.__path__, "sfumato.") if not each.name.endswith("__main__"))


def undocumented(name):
    """The public things of a module that have no docstring, by their full names."""
    try:
        module = importlib.import_module(name)
    except (ImportError, MissingExtraError):
        pytest.skip(f"{name} needs a package that is not installed")
    if not inspect.getdoc(module):
        yield name
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) != name or getattr(thing, "__name__", "_").startswith("_"):
            continue
        if inspect.isclass(thing):
            yield from of_class(thing)
        elif inspect.isfunction(thing) and not thing.__doc__:
            yield f"{name}.{thing.__qualname__}"


def of_class(kind):
    """The class itself, and its public methods and properties that no class documents."""
    if typing.is_typeddict(kind):
        return  # written as a call, it is documented by the text below
    if "__doc__" not in vars(kind) or not vars(kind)["__doc__"] or vars(kind)["__doc__"].startswith(f"{kind.__name__}("):
        yield f"{kind.__module__}.{kind.__qualname__}"
    for name, member in vars(kind).items():
        member = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        if inspect.isfunction(member) and member.__module__ != kind.__module__:
            continue
        if name in BY_CONTRACT and hasattr(kind, "__dataclass_fields__"):
            continue
        if not member.__doc__ and not any(vars(base)[name].__doc__ for base in kind.__mro__[1:] if name in vars(base)):
            yield f"{kind.__module__}.{kind.__qualname__}.{name}"


@pytest.mark.parametrize("name", modules())
def test_public_things_are_documented(name):
    assert not set(undocumented(name)) - MISSING


def test_what_is_missing_is_no_longer_so_if_it_is_documented():
    """A name leaves the list when it gets its docstring."""
    listed = {full for full in MISSING if full in {each for name in modules() if full.startswith(name) for each in undocumented(name)}}
    assert listed == MISSING


def test_the_law_finds_what_has_no_docstring():
    """Each kind of thing, made here without one."""

    class Documented:
        """Documented."""

        def method(self):
            """Documented."""

    class Inherits(Documented):
        """Documented."""

        def method(self):
            pass

        def other(self):
            pass

        @property
        def value(self):
            return 1

    class Bare(Documented):
        pass

    place = f"{__name__}.{Inherits.__qualname__}"
    assert list(of_class(Inherits)) == [f"{place}.other", f"{place}.value"]
    assert list(of_class(Bare)) == [f"{__name__}.{Bare.__qualname__}"]
