"""Families by id: the name that files know them by, which never changes, wherever their source file is and whatever it is called.

    class Config:
        id = "dncnn"            the settings of a family say its id

    FAMILIES.find("dncnn")      that class

A family is what a file can name: a network, an objective, a degradation, and other settings of a training. Those of the package are found
in its rooms, imported when they are first asked for. Plug-ins (`core/plugins.py`) add others with `register`. A name that a family once
had in files stays as an alias of its id for ever.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar, final

from sfumato.core.catalog import Catalog, suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.plugins import VARIABLE, Plugins
from sfumato.core.text import quoted

Family = TypeVar("Family", bound=type)
Kind = TypeVar("Kind")


class Registry:
    """Classes of settings by the `id` of each."""

    def __init__(
        self,
        rooms: Iterable[str],
        modules: Iterable[tuple[str, str]] = (),
        aliases: Mapping[str, str] | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        """`rooms` are packages each of whose files holds a `Config`, `modules` single files with the name of the class in them.

        `aliases` are other names of ids, such as those of earlier formats. `plugins` are loaded when a name is not found without them.
        """
        self.rooms, self.modules = tuple(rooms), tuple(modules)
        self.aliases = dict(aliases or {})
        self._classes: dict[str, type] = {}
        self._plugins = plugins
        self._registrars: dict[str, str] = {}
        """Module that registered each family from outside of the package; empty for those that loading the plug-ins registered."""

    def register(self, family: Family, *, aliases: Iterable[str] = ()) -> Family:
        """Adds a class of settings under its `id`, and under other names that files may have for it. Returns it, as a decorator does.

        Adding it again changes nothing. Raises SettingError if it is no class of settings, if it has no id, or if another family has that
        id or one of those names.
        """
        given: object = family
        if not isinstance(given, type) or not dataclasses.is_dataclass(given):
            raise SettingError(f"{quoted(family)} is no class of settings; write @settings above the class, and register the class itself")
        name = getattr(family, "id", None)
        if not isinstance(name, str) or not name:
            raise SettingError(f"{family.__module__}.{family.__qualname__} has no id; give the class one, such as id = 'dncnn'")
        aliases = tuple(aliases)
        for each in (name, *aliases):
            other = self._of_package(each)
            if other is not None and other is not family:
                raise _taken(each, other)
        new = name not in self._classes
        self._classes[name] = family
        self.aliases |= dict.fromkeys(aliases, name)
        if self._plugins is not None and self._plugins.loading:
            self._registrars[name] = ""
        elif new:
            self._registrars[name] = _module_that_runs()
        return family

    def find(self, name: object) -> type:
        """The class whose id, or one of whose other names, is `name`. Raises UnknownNameError, with the id nearest to it."""
        family = self._get(name)
        if family is None:
            near = suggest(name, self) if isinstance(name, str) else ""
            raise UnknownNameError(
                f"{quoted(name)} is no family of this version of sfumato{near}; "
                f"if it comes from a plug-in, install the plug-in, or name its module: {VARIABLE}=MODULE (docs/plugins.md)"
            )
        return family

    def registered(self) -> dict[str, type]:
        """The families from outside of the package by their ids. Loads the plug-ins."""
        self.load_plugins()
        return {name: self._classes[name] for name in self._registrars}

    def load_plugins(self) -> None:
        """Imports the plug-ins, unless that was done."""
        if self._plugins is not None:
            self._plugins.load(self.register)

    def reason_lost(self, family: type) -> str:
        """Why a new process would not find `family` by its id, as a clause that says what to do; empty if it would."""
        name = str(getattr(family, "id", ""))
        if self._get(name) is not family:
            return f"which is no part of sfumato or of a plug-in: register it in a module, and name that module in {VARIABLE}"
        registrar = self._registrars.get(name, "")
        if not registrar:
            return ""
        self.load_plugins()
        if registrar == "__main__":
            return f"which only this script registers: move it to a module, and name that module in {VARIABLE}"
        if self._plugins is None or not self._plugins.include(registrar):
            return f"which {registrar} registers, and that is not named as a plug-in: set {VARIABLE}={registrar}"
        return ""

    def __iter__(self) -> Iterator[str]:
        """Every id. Imports all families."""
        for module, entry in self._places():
            self._add(module, entry)
        self.load_plugins()
        return iter(list(self._classes))

    def _get(self, name: object) -> type | None:
        if not isinstance(name, str):
            return None
        if (family := self._of_package(name)) is None:
            self.load_plugins()
            family = self._classes.get(self.aliases.get(name, name))
        return family

    def _of_package(self, name: str) -> type | None:
        """The class called `name` of the package, or one that is registered by now."""
        name = self.aliases.get(name, name)
        if name in self._classes:
            return self._classes[name]
        # Most files are called as their family is; only where one is not are all imported.
        for module, entry in sorted(self._places(), key=lambda place: place[0].rpartition(".")[2] != name):
            self._add(module, entry)
            if name in self._classes:
                return self._classes[name]
        return None

    def _places(self) -> Iterator[tuple[str, str]]:
        """The module and the name in it of each class of the package."""
        for room in self.rooms:
            yield from ((f"{room}.{name}", "Config") for name in Catalog[type](room))
        yield from self.modules

    def _add(self, module: str, entry: str) -> None:
        family = getattr(importlib.import_module(module), entry, type(None))
        if (name := getattr(family, "id", None)) is not None and self._classes.setdefault(name, family) is not family:
            raise _taken(name, self._classes[name])


@final
class Room(Catalog[Callable[..., Kind]], Generic[Kind]):
    """One room of the package, by file name, and the registered families that do the same job, by id.

    Each entry is a class of settings. Called with settings by name it gives a `Kind`, such as `NetworkSettings`.
    """

    def __init__(self, room: str, method: str) -> None:
        """The families of the room are those with such a `method`."""
        super().__init__(room)
        self.method = method

    def __iter__(self) -> Iterator[str]:
        """Every name. Loads the plug-ins."""
        return iter([*self.files(), *self._registered()])

    def __getitem__(self, name: str) -> Callable[..., Kind]:
        """The class called `name`. Loads the plug-ins only if no file is called so. Raises UnknownNameError."""
        if name not in self.files() and (family := self._registered().get(name)) is not None:
            return family
        return super().__getitem__(name)

    def _registered(self) -> dict[str, type]:
        # Not by hasattr: every class can itself be called.
        families = FAMILIES.registered().items()
        return {name: family for name, family in families if any(self.method in vars(base) for base in family.__mro__)}


def _module_that_runs() -> str:
    """The name of the module whose body is being executed, by its import or as a script."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return "__main__" if frame is None else str(frame.f_globals.get("__name__", "__main__"))


def _taken(name: str, family: type) -> SettingError:
    return SettingError(f"the id {quoted(name)} is taken by {family.__module__}.{family.__qualname__}; choose another")


FORMAT_1 = {
    **{
        f"models/{name}": name
        for name in (
            "classifier", "compact", "dcgan", "deconvolving", "dncnn", "drunet", "features", "gated", "imdn", "lpips", "paired", "rrdb",
            "srgan", "stylegan", "vae",
        )
    },
    **{f"objectives/{name}": name for name in ("adversarial", "adversarial_restoration", "cross_entropy", "elbo", "restoration")},
    **{
        f"degrade/{name}": name
        for name in (
            "chain", "defocus", "downsample", "gaussian_blur", "impulse", "jpeg", "missing", "motion", "noise", "poisson", "quantise",
        )
    },
    "data/adaptive": "adaptive",
    "data/augment": "augment",
    "train/settings": "training",
}  # fmt: skip
"""What files of format 1 call each family, by the place of its source file then, and its id."""

FAMILIES = Registry(
    rooms=("sfumato.models", "sfumato.objectives", "sfumato.degradations"),
    modules=(
        ("sfumato.data.adaptive", "Config"),
        ("sfumato.data.augment", "Config"),
        ("sfumato.train.settings", "TrainSettings"),
    ),
    aliases=FORMAT_1,
    plugins=Plugins(),
)
"""The families that a file may name."""

register = FAMILIES.register
