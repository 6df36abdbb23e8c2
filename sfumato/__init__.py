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
from typing import TYPE_CHECKING, Any

from sfumato.core.openmp import shorten_waits

if TYPE_CHECKING:
    from sfumato.core.errors import SfumatoError
    from sfumato.core.settings import override
    from sfumato.data.files import read, write
    from sfumato.jobs.audit import audit
    from sfumato.jobs.demo import demo
    from sfumato.jobs.directions import directions
    from sfumato.jobs.drag import drag
    from sfumato.jobs.dream import Dream, dream
    from sfumato.jobs.dream_latent import dream_through
    from sfumato.jobs.edit import edit
    from sfumato.jobs.evaluate import evaluate
    from sfumato.jobs.examples import from_examples
    from sfumato.jobs.generate import generate
    from sfumato.jobs.interpolate import interpolate
    from sfumato.jobs.mix import mix
    from sfumato.jobs.models import list_models
    from sfumato.jobs.pictures import restore_pictures
    from sfumato.jobs.project import project
    from sfumato.jobs.restore import restore
    from sfumato.jobs.tiles import restored
    from sfumato.recipes import recipe
    from sfumato.store.weights import bundled, load
    from sfumato.train.loop import fit

__version__ = "0.1.0"

_HOMES = {
    "Dream": "jobs.dream",
    "SfumatoError": "core.errors",
    "audit": "jobs.audit",
    "bundled": "store.weights",
    "demo": "jobs.demo",
    "directions": "jobs.directions",
    "drag": "jobs.drag",
    "dream": "jobs.dream",
    "dream_through": "jobs.dream_latent",
    "edit": "jobs.edit",
    "evaluate": "jobs.evaluate",
    "fit": "train.loop",
    "from_examples": "jobs.examples",
    "generate": "jobs.generate",
    "interpolate": "jobs.interpolate",
    "list_models": "jobs.models",
    "load": "store.weights",
    "mix": "jobs.mix",
    "override": "core.settings",
    "project": "jobs.project",
    "read": "data.files",
    "recipe": "recipes",
    "restore": "jobs.restore",
    "restore_pictures": "jobs.pictures",
    "restored": "jobs.tiles",
    "write": "data.files",
}

__all__ = [
    "Dream",
    "SfumatoError",
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
    "restore",
    "restore_pictures",
    "restored",
    "write",
]


shorten_waits()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sfumato.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
