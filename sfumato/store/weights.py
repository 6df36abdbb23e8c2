"""Models by name: the ones that come with the toolkit, any file or run folder of one's own, and some that others published."""

import os
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.store import checkpoint, public


def bundled() -> dict[str, Path]:
    """The models that come with the toolkit, by name."""
    folder = Path(str(resources.files("sfumato") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(which: str | Path) -> Path:
    """The file of a model: a bundled name, a .safetensors file, or a run folder.

    As a string, a bundled name wins over a file or folder of that name: write ./fashion for the folder. Raises UnknownNameError,
    naming the bundled models, if it is none of these.
    """
    path, known = Path(which), bundled()
    if isinstance(which, str) and which in known:
        return known[which]
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise UnknownNameError(f"{path} holds no model.safetensors; give a run folder, a model file, or one of {', '.join(known)}")
    if path.is_file():
        return path
    raise UnknownNameError(f"no model {str(which)!r}{suggest(str(which), known)}; give a run folder, a file, or one of {', '.join(known)}")


def short_name(which: str | Path) -> str:
    """What results of a model are called after: its own name, or that of the run folder in which its file lies.

    >>> short_name("digits"), short_name("runs/cats/"), short_name("runs/cats/model.safetensors"), short_name("old/dncnn.safetensors")
    ('digits', 'cats', 'cats', 'dncnn')
    """
    path = Path(os.path.abspath(Path(which).expanduser()))
    if path.name == "model.safetensors":
        path = path.parent
    return path.name.removesuffix(".safetensors") or "model"


def load(which: str | Path) -> Any:
    """The network called `which` (see `find`), ready for use, with its settings in `config` and its card in `card`.

    The networks of others that `public` names are found too, after bundled ones. Raises UnknownNameError if there is no such model,
    CheckpointError if its file is damaged or foreign, DownloadError if it is somebody else's and cannot be fetched.
    """
    if isinstance(which, str) and which in public.NAMES and which not in bundled():
        return public.load(which)
    return checkpoint.load(find(which))


def opened(which: str | Path | nn.Module, role: type[nn.Module] = nn.Module, *, otherwise: str = "") -> Any:
    """`which` itself if it is a network already, else what `load` gives.

    Raises SettingError, saying what the model `otherwise` cannot do, if it does not fill `role`.
    """
    network = which if isinstance(which, nn.Module) else load(which)
    if not isinstance(network, role):
        name = which if isinstance(which, str | Path) else type(which).__name__
        raise SettingError(f"{name} {otherwise}; `sfumato models` tells which models there are")
    return network
