"""Complete, named runs: a recipe is a function that returns every setting. Derive yours with `dataclasses.replace`."""

import importlib
from collections.abc import Callable

from sfumato.core.catalog import suggest
from sfumato.core.errors import UnknownNameError
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
    "dncnn": "restore",
    "restore": "restore",
    "restore-grey": "restore",
    "deblur-digits": "restore",
    "inpaint": "restore",
    "deblur": "restore",
    "deblur-grey": "restore",
    "upscale-x2": "restore",
    "upscale-x4": "restore",
    "upscale-gan": "srgan",
}
"""Each recipe and the file of this room in which the function of that name is."""


def recipe(name: str) -> TrainSettings:
    """The settings called `name`. Raises UnknownNameError, naming those that exist."""
    if name not in RECIPES:
        raise UnknownNameError(f"no recipe {name!r}{suggest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    function: Callable[[], TrainSettings] = getattr(importlib.import_module(f"sfumato.recipes.{RECIPES[name]}"), name.replace("-", "_"))
    return function()


def summary(name: str) -> str:
    """One line about the recipe called `name`."""
    module = importlib.import_module(f"sfumato.recipes.{RECIPES[name]}")
    return str(getattr(module, name.replace("-", "_")).__doc__).splitlines()[0]
