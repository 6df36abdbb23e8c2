"""A model to a hub: its file and a README made from its card, in one commit."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sfumato.core.atomic_io import digest
from sfumato.core.config import dump
from sfumato.core.errors import CheckpointError, SettingError, StorageError
from sfumato.store import checkpoint, public, weights
from sfumato.store.export.read import is_exported
from sfumato.store.hub import client
from sfumato.store.hub.address import HubAddress, parsed
from sfumato.store.hub.fetch import FILE
from sfumato.store.hub.readme import Contents, readme
from sfumato.store.loaded import LoadedModel, Model

_PICTURES = (".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Pushed:
    """A model on a hub."""

    address: str
    """`hf:owner/name@commit`, under which this very version is loaded."""
    sha256: str
    """SHA-256 of its file."""
    readme: str
    """The text of its README.md."""


def push(model: Model, repository: str, *, private: bool = False, pictures: Sequence[str | Path] = ()) -> Pushed:
    """Writes `model` and a README to `owner/name[@branch]` on the hub, which is made if need be, and gives the address of the commit.

    The file of a model is sent as it is, after its keys, shapes and values were checked; it is safetensors, never a pickle. `pictures`
    are shown in the README. The token is that of `hf auth login` or HF_TOKEN. Raises SettingError for what is no model file, address or
    picture, CheckpointError if the file is damaged, StorageError if the hub refuses, MissingExtraError without huggingface_hub.
    """
    address = parsed(repository)
    client.library()
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        path, loaded = _file(model, Path(folder))
        return _send(path, loaded, address, private, _images(pictures))


def _file(model: Model, folder: Path) -> tuple[Path, LoadedModel[nn.Module]]:
    """The checked file of a model, in `folder` if it has none of its own."""
    if isinstance(model, str | Path) and model not in public.NAMES:
        path = weights.find(model)
        if is_exported(path):
            raise SettingError(f"{path} is an exported network; push the model that it was exported from")
        return path, checkpoint.load(path)
    loaded = weights.model_of(model)
    path = folder / FILE
    checkpoint.save_model(path, loaded)
    return path, loaded


def _images(pictures: Sequence[str | Path]) -> dict[str, Path]:
    """Files of pictures by the name that they get beside the README."""
    for each in map(Path, pictures):
        if each.suffix.lower() not in _PICTURES or not each.is_file():
            raise SettingError(f"{each} is no picture for a README; name files that end in {', '.join(_PICTURES)}")
    return {f"picture-{i + 1}{Path(each).suffix.lower()}": Path(each) for i, each in enumerate(pictures)}


def _send(path: Path, model: LoadedModel[nn.Module], address: HubAddress, private: bool, images: dict[str, Path]) -> Pushed:
    hub, settings = client.library(), model.config
    if settings is None:
        raise CheckpointError(f"{model} has no settings, so that nobody could load it")
    family = str(dump(settings)["is"])
    sha256 = digest(path)
    contents = Contents(megabytes=path.stat().st_size / 1e6, sha256=sha256, pictures=tuple(images))
    text = readme(f"hf:{address.repository}", model.network, family, model.card, contents)
    files: dict[str, Path | bytes] = {FILE: path, "README.md": text.encode(), **images}
    with client.explained(address.repository, StorageError):
        api = hub.HfApi(endpoint=client.endpoint(), library_name="sfumato")
        api.create_repo(address.repository, private=private, exist_ok=True)
        commit = api.create_commit(
            address.repository,
            [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()],
            commit_message=f"Push {family} model with Sfumato",
            revision=address.revision or None,
        )
    return Pushed(str(HubAddress(address.owner, address.name, commit.oid)), sha256, text)
