"""Models by name: the ones that come with the toolkit, any file or run folder of one's own, and some that others published."""

import os
from importlib import resources
from pathlib import Path
from typing import TypeVar, cast

from torch import nn

from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.store import checkpoint, public
from sfumato.store.export import read as exported
from sfumato.store.hub.address import is_address, parsed
from sfumato.store.hub.fetch import fetch
from sfumato.store.loaded import LoadedModel, Model

Role = TypeVar("Role", bound=nn.Module)
Named = TypeVar("Named", bound=str | Path | None)


def bundled() -> dict[str, Path]:
    """The models that come with the toolkit, by name."""
    folder = Path(str(resources.files("sfumato") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(which: str | Path) -> Path:
    """The file of a model: a bundled name, a .safetensors file, an exported file (.onnx, .xml), a run folder, or hf:owner/name[@revision].

    As a string, a bundled name wins over a file or folder of that name: write ./fashion for the folder. Raises UnknownNameError,
    naming the bundled models, if it is none of these, and for an address on a hub the errors of `hub.fetch.fetch`.
    """
    if is_address(which):
        return fetch(str(which))
    path, names = Path(which), bundled()
    if isinstance(which, str) and which in names:
        return names[which]
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise UnknownNameError(f"{path} holds no model.safetensors; give a run folder, a model file, or one of {', '.join(names)}")
    if path.is_file():
        return path
    raise UnknownNameError(f"no model {str(which)!r}{suggest(str(which), names)}; give a run folder, a file, or one of {', '.join(names)}")


def existing_model(which: Named) -> Named:
    """The name, file or run folder `which` of a model, unchanged, or None for none. Nothing is loaded. Raises as `find`."""
    if which is not None and not (isinstance(which, str) and which in public.NAMES):
        find(which)
    return which


def short_name(which: str | Path) -> str:
    """What results of a model are called after: its own name, or that of the run folder in which its file lies.

    >>> short_name("digits"), short_name("runs/cats/"), short_name("runs/cats/model.safetensors"), short_name("old/dncnn.safetensors")
    ('digits', 'cats', 'cats', 'dncnn')
    >>> short_name("hf:owner/cats@v1")
    'cats'
    """
    if is_address(which):
        return parsed(str(which)).name
    path = Path(os.path.abspath(Path(which).expanduser()))
    if path.name == "model.safetensors":
        path = path.parent
    return path.name.removesuffix(".safetensors").removesuffix(".onnx") or "model"


def load(which: str | Path) -> LoadedModel[nn.Module]:
    """The model called `which` (see `find`): its network, ready for use, its settings and its card.

    The networks of others that `public` names are found too, after bundled ones. Raises UnknownNameError if there is no such model,
    CheckpointError if its file is damaged or foreign, MissingExtraError if the library of an exported file or of the hub is absent,
    DownloadError if it is somebody else's and cannot be fetched.
    """
    if isinstance(which, str) and which in public.NAMES and which not in bundled():
        return public.load(which)
    path = find(which)
    if exported.is_exported(path):
        return exported.load(path)
    return checkpoint.load(path)


def model_of(which: Model) -> LoadedModel[nn.Module]:
    """The model that `which` names, or `which` itself. A network alone becomes a model without settings and with an empty card."""
    if isinstance(which, LoadedModel):
        return which
    return LoadedModel(network=which) if isinstance(which, nn.Module) else load(which)


def opened(which: Model, role: type[Role], *, otherwise: str) -> LoadedModel[Role]:
    """The model that `which` names, or `which` itself, as one of the kind `role`.

    Raises SettingError, saying what the model `otherwise` cannot do, if its network does not fill that role.
    """
    model = model_of(which)
    if not isinstance(model.network, role):
        name = which if isinstance(which, str | Path) else model
        raise SettingError(f"{name} {otherwise}; `sfumato models` tells which models there are")
    return cast(LoadedModel[Role], model)
