"""Work that is done as soon as a module of another package is there, without importing that module for its sake."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

Work = Callable[[ModuleType], None]


def after_import(name: str, work: Work) -> None:
    """Calls `work` with the module called `name`: at once if it is imported, else right after its first import."""
    if (module := sys.modules.get(name)) is not None:
        work(module)
    else:
        sys.meta_path.insert(0, _Finder(name, work))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, once, as the other finders would, and adds the work to its loader."""

    def __init__(self, name: str, work: Work) -> None:
        self.name, self.work = name, work

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.work)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module by its own loader, then does the work."""

    def __init__(self, loader: importlib.abc.Loader, work: Work) -> None:
        self.loader, self.work = loader, work

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        spec = module.__spec__
        if spec is not None:
            spec.loader = self.loader
        module.__loader__ = self.loader
        self.work(module)
