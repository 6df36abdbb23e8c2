"""Complete trainings by name: a recipe is a function that returns every setting. Derive your own with `dataclasses.replace`.

A recipe may also be a file of settings (.json), such as `sfumato tune` writes. Nothing in it is executed: it names registered families.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, SfumatoError, UnknownNameError
from sfumato.core.registry import FAMILIES
from sfumato.core.text import cut, quoted
from sfumato.train.folder import read_settings
from sfumato.train.settings import TrainSettings

RECIPES = {
    "classifier": "classifier",
    "digits-classifier": "classifier",
    "fashion-classifier": "classifier",
    "eurosat-classifier": "classifier",
    "vae": "vae",
    "digits-vae": "vae",
    "dcgan": "gan",
    "dcgan-classic": "gan",
    "digits": "gan",
    "fashion": "gan",
    "glyphs": "gan",
    "stylegan": "gan",
    "cats": "gan",
    "eurosat": "gan",
    "denoise": "restore",
    "denoise-colour": "restore",
    "denoise-grey": "restore",
    "dncnn": "restore",
    "restore": "restore",
    "restore-grey": "restore",
    "deblur-digits": "restore",
    "deblock": "restore",
    "inpaint": "restore",
    "deblur": "restore",
    "deblur-grey": "restore",
    "upscale-x2": "restore",
    "upscale-x3": "restore",
    "upscale-x4": "restore",
    "upscale-jpeg-x2": "restore",
    "upscale-jpeg-x4": "restore",
    "dust": "restore",
    "upscale-gan": "srgan",
    "codec": "codec",
}
"""Each recipe, and the file of this room with the function of that name."""
_REGISTERED: dict[str, Callable[[], TrainSettings]] = {}
"""Recipes of plug-ins by name."""
R = TypeVar("R", bound=Callable[[], TrainSettings])


def register_recipe(function: R) -> R:
    """Adds a recipe from outside of the package; `sfumato train` knows it by the name of the function, with hyphens for underscores.

    Returns the function, as a decorator does. Adding it again changes nothing. Raises SettingError if it has no name of its own, or if
    another recipe has that name.
    """
    plain = getattr(function, "__name__", "")
    name = plain.replace("_", "-")
    if not plain.isidentifier() or plain.startswith("_"):
        raise SettingError(f"a recipe is a function with a name, such as def portraits(); {quoted(plain)} is none")
    if name in RECIPES or _REGISTERED.get(name, function) is not function:
        raise SettingError(f"the name of the recipe {name} is taken; choose another")
    _REGISTERED[name] = function
    return function


def recipes() -> list[str]:
    """The names of all recipes: those of the package, then those of plug-ins."""
    FAMILIES.load_plugins()
    return [*RECIPES, *_REGISTERED]


def recipe(name: str) -> TrainSettings:
    """The settings called `name`, or those in the file `name` if it ends in .json.

    Raises UnknownNameError, naming those that exist, and SettingError if a plug-in gives no settings; SettingError for a file that cannot
    be read as settings.
    """
    if is_file(name):
        return _from_file(Path(name))
    settings: object = _function(name)()
    if not isinstance(settings, TrainSettings):
        raise SettingError(f"the recipe {name} returns a {type(settings).__qualname__}; a recipe returns TrainSettings")
    return settings


def summary(name: str) -> str:
    """One line about the recipe called `name`."""
    if is_file(name):
        return f"The recipe in the file {name}."
    return next(iter((_function(name).__doc__ or "").strip().splitlines()), "")


def is_file(name: str) -> bool:
    """Whether `name` is the path of a recipe file and not the name of a recipe."""
    return Path(name).suffix.lower() == ".json"


def _from_file(path: Path) -> TrainSettings:
    """The settings in a recipe file."""
    if not path.is_file():
        raise SettingError(f"{path}: there is no such recipe file; give the file that sfumato tune wrote, or the name of a recipe")
    try:
        return read_settings(path)
    except (SfumatoError, ValueError, LookupError, TypeError) as error:
        raise SettingError(
            f"{path} is no recipe file ({cut(str(error), 500)}); give the file that sfumato tune wrote, or settings.json of a run"
        ) from error


def _function(name: str) -> Callable[[], TrainSettings]:
    if name in RECIPES:
        return getattr(importlib.import_module(f"sfumato.recipes.{RECIPES[name]}"), name.replace("-", "_"))
    if name not in recipes():
        raise UnknownNameError(
            f"no recipe {name!r}{suggest(name, recipes())}; there are {', '.join(recipes())} (others come from plug-ins: docs/plugins.md)"
        )
    return _REGISTERED[name]
