"""Plug-ins: modules outside of the package that register families and recipes of their own when they are imported.

    [project.entry-points."sfumato.plugins"]     an installed package names a module, or a class of settings in it
    sketches = "sketches"

    SFUMATO_PLUGINS=sketches,portraits           the environment names modules that are not installed

Only whoever installs a package or sets the environment can name a plug-in; a file never does. Plug-ins are imported once, when a name is
looked up that the package does not have, or when all names are listed. A plug-in that cannot be imported costs one line of warning.
"""

import importlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

from sfumato.core.text import printable

GROUP = "sfumato.plugins"
"""The group of entry points that name plug-ins."""
VARIABLE = "SFUMATO_PLUGINS"
"""The variable of the environment that names modules, with commas between them."""


@dataclass(frozen=True, kw_only=True)
class _Plugin:
    module: str
    source: str
    """Where it is named."""
    load: Callable[[], object]
    """Imports the module; returns it, or the object in it that an entry point names."""


@final
class Plugins:
    """The plug-ins that are named in this process."""

    def __init__(self) -> None:
        self.loading = False
        """Whether plug-ins are being imported."""
        self._begun, self._packages, self._lock = False, set[str](), threading.RLock()

    def load(self, register: Callable[[type], object]) -> None:
        """Imports all plug-ins, at the first call. `register` takes the classes that entry points name.

        Warns in one line, with the name and the reason, of each plug-in that cannot be imported.
        """
        with self._lock:
            if self._begun:  # plug-ins look names up too while they are imported
                return
            self._begun = self.loading = True
            try:
                for plugin in _named():
                    self._load(plugin, register)
            finally:
                self.loading = False

    def include(self, module: str) -> bool:
        """Whether `module` is a loaded plug-in, or lies in the package of one."""
        return module.partition(".")[0] in self._packages

    def _load(self, plugin: _Plugin, register: Callable[[type], object]) -> None:
        try:
            entry = plugin.load()
            if isinstance(entry, type):
                register(entry)
        except (Exception, SystemExit) as error:  # whatever the code of others does, commands that do not need it go on
            reason = printable(" ".join(f"{type(error).__name__}: {error}".split())[:300])
            absent = isinstance(error, ModuleNotFoundError) and error.name and f"{plugin.module}.".startswith(f"{error.name}.")
            hint = "; for a module in the current folder, set PYTHONPATH=. too" if absent else ""
            warnings.warn(f"the plug-in {plugin.module} ({plugin.source}) could not be loaded: {reason}{hint}", stacklevel=2)
        else:
            self._packages.add(plugin.module.partition(".")[0])


def _named() -> Iterator[_Plugin]:
    """Each plug-in that is named: by entry points in the order of their names, then by the environment."""
    from importlib.metadata import entry_points  # slow to import, and help does without

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        yield _Plugin(module=entry.value.partition(":")[0].strip(), source=f"entry point {entry.name}", load=entry.load)
    for name in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
        yield _Plugin(module=name, source=VARIABLE, load=lambda name=name: importlib.import_module(name))
