"""Generate, edit and restore images with neural networks you can train on a laptop.

    import sfumato as sf
    images = sf.generate("fashion", n=16, seed=0, label="bag")     # float32, NCHW, in [0, 1]
    clean = sf.restore("scan.jpg")                                 # a path, a PIL image or a tensor
    network = sf.fit(sf.recipe("dcgan"), run=Path("runs/photos"))  # what `sfumato train` calls
    report = sf.evaluate("runs/photos")
    model = sf.load("runs/photos")

Each verb is imported when it is first asked for. If sfumato is imported before torch, threads that wait for each other soon sleep.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from sfumato.core.openmp import shorten_waits

if TYPE_CHECKING:
    from sfumato.core.config import override
    from sfumato.core.errors import SfumatoError
    from sfumato.core.registry import register
    from sfumato.demonstration.demo import demo
    from sfumato.dreaming.dream import Dream, dream
    from sfumato.dreaming.latent import dream_through
    from sfumato.editing.directions import directions
    from sfumato.editing.drag import drag
    from sfumato.editing.edit import edit
    from sfumato.editing.examples import from_examples
    from sfumato.editing.inversion import project
    from sfumato.editing.mix import mix
    from sfumato.evaluation.audit import audit
    from sfumato.evaluation.evaluate import evaluate
    from sfumato.generation.generate import generate
    from sfumato.generation.interpolate import interpolate
    from sfumato.io.files import read, write
    from sfumato.recipes import recipe, register_recipe
    from sfumato.restoration.pictures import restore_pictures
    from sfumato.restoration.restore import restore
    from sfumato.restoration.tiles import apply_restorer
    from sfumato.store.weights import bundled, load
    from sfumato.store.zoo import list_models
    from sfumato.train.loop import fit

__version__ = "0.1.0"

_HOMES = {
    "Dream": "dreaming.dream",
    "SfumatoError": "core.errors",
    "apply_restorer": "restoration.tiles",
    "audit": "evaluation.audit",
    "bundled": "store.weights",
    "demo": "demonstration.demo",
    "directions": "editing.directions",
    "drag": "editing.drag",
    "dream": "dreaming.dream",
    "dream_through": "dreaming.latent",
    "edit": "editing.edit",
    "evaluate": "evaluation.evaluate",
    "fit": "train.loop",
    "from_examples": "editing.examples",
    "generate": "generation.generate",
    "interpolate": "generation.interpolate",
    "list_models": "store.zoo",
    "load": "store.weights",
    "mix": "editing.mix",
    "override": "core.config",
    "project": "editing.inversion",
    "read": "io.files",
    "recipe": "recipes",
    "register": "core.registry",
    "register_recipe": "recipes",
    "restore": "restoration.restore",
    "restore_pictures": "restoration.pictures",
    "write": "io.files",
}

_EARLIER = {"restored": "apply_restorer"}
"""Names of earlier versions, which go on working with a warning."""

__all__ = [
    "Dream",
    "SfumatoError",
    "apply_restorer",
    "audit",
    "bundled",
    "demo",
    "directions",
    "drag",
    "dream",
    "dream_through",
    "edit",
    "evaluate",
    "fit",
    "from_examples",
    "generate",
    "interpolate",
    "list_models",
    "load",
    "mix",
    "override",
    "project",
    "read",
    "recipe",
    "register",
    "register_recipe",
    "restore",
    "restore_pictures",
    "write",
]


shorten_waits()


def __getattr__(name: str) -> Any:
    if name in _EARLIER:
        warnings.warn(f"sfumato.{name} is now called sfumato.{_EARLIER[name]}", DeprecationWarning, stacklevel=2)
        name = _EARLIER[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sfumato.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
