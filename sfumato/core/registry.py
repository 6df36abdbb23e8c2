"""Families by id: the name that files know them by, which never changes, wherever their source file is and whatever it is called.

    class Config:
        id = "dncnn"            the settings of a family say its id

    FAMILIES.find("dncnn")      that class

A family is what a file can name: a network, an objective, a degradation, and other settings of a training. Those of the package are found
in its rooms, imported when they are first asked for. Others can be added with `register`. A name that a family once had in files stays as
an alias of its id for ever.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sfumato.core.catalog import Catalog, suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.text import quoted


class Registry:
    """Classes of settings by the `id` of each."""

    def __init__(self, rooms: Iterable[str], modules: Iterable[tuple[str, str]] = (), aliases: Mapping[str, str] | None = None) -> None:
        """`rooms` are packages each of whose files holds a `Config`, `modules` single files with the name of the class in them.

        `aliases` are other names of ids, such as those of earlier formats.
        """
        self.rooms, self.modules = tuple(rooms), tuple(modules)
        self.aliases = dict(aliases or {})
        self._classes: dict[str, type] = {}

    def register(self, family: type, *, aliases: Iterable[str] = ()) -> None:
        """Adds a class of settings under its `id`, and under other names that files may have for it.

        Adding it again changes nothing. Raises SettingError if it has no id, or if another family has that id or one of those names.
        """
        name = getattr(family, "id", None)
        if not isinstance(name, str) or not name:
            raise SettingError(f"{family.__module__}.{family.__qualname__} has no id; give the class one, such as id = 'dncnn'")
        for each in (name, *aliases):
            other = self._get(each)
            if other is not None and other is not family:
                raise _taken(each, other)
        self._classes[name] = family
        self.aliases |= dict.fromkeys(aliases, name)

    def find(self, name: object) -> type[Any]:
        """The class whose id, or one of whose other names, is `name`. Raises UnknownNameError, with the id nearest to it."""
        found = self._get(name)
        if found is None:
            near = suggest(name, self) if isinstance(name, str) else ""
            raise UnknownNameError(f"settings of kind {quoted(name)} are not known{near}; there are {', '.join(sorted(self))}")
        return found

    def __iter__(self) -> Iterator[str]:
        """Every id. Imports all families."""
        for module, entry in self._places():
            self._add(module, entry)
        return iter(list(self._classes))

    def _get(self, name: object) -> type[Any] | None:
        if not isinstance(name, str):
            return None
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
            yield from ((f"{room}.{name}", "Config") for name in Catalog(room))
        yield from self.modules

    def _add(self, module: str, entry: str) -> None:
        family: Any = getattr(importlib.import_module(module), entry, None)
        if (name := getattr(family, "id", None)) is not None and self._classes.setdefault(name, family) is not family:
            raise _taken(name, self._classes[name])


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
)
"""The families that a file may name."""
