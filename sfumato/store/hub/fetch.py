"""A model from a hub: its file in the cache, checked against the fingerprint that the hub states."""

import contextlib
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from sfumato import __version__
from sfumato.core.atomic_io import digest
from sfumato.core.errors import CheckpointError, DownloadError
from sfumato.store.hub import client
from sfumato.store.hub.address import HubAddress, parsed

FILE = "model.safetensors"
"""The one file of a repository that is read."""
_PICKLES = (".bin", ".ckpt", ".h5", ".msgpack", ".pickle", ".pkl", ".pt", ".pth")


def fetch(text: str) -> Path:
    """The model file at the address `text` (`hf:owner/name[@revision]`), in the cache of the hub.

    The hub is asked once in a process, so that a run has one revision from beginning to end. If the hub cannot be reached, the file of
    the last call is taken. Raises SettingError for no address, DownloadError if the hub refuses or the file is not complete,
    CheckpointError if the repository holds no model that can be read, MissingExtraError without huggingface_hub.
    """
    place = (client.endpoint(), client.cache(), client.offline())
    path = _fetched(parsed(text), *place)
    if path.is_file():
        return path
    _fetched.cache_clear()  # somebody emptied the cache
    return _fetched(parsed(text), *place)


@functools.lru_cache(maxsize=256)
def _fetched(address: HubAddress, endpoint: str, cache: str | None, offline: bool) -> Path:
    hub = client.library()
    with client.explained(str(address), DownloadError):
        try:
            path = hub.hf_hub_download(
                address.repository,
                FILE,
                revision=address.revision or None,
                endpoint=endpoint,
                cache_dir=cache,
                local_files_only=offline,
                library_name="sfumato",
                library_version=__version__,
            )
        except hub.errors.LocalEntryNotFoundError:  # it is an EntryNotFoundError too, of the cache and not of the repository
            raise
        except hub.errors.EntryNotFoundError as error:
            names = hub.HfApi(endpoint=endpoint).list_repo_files(address.repository, revision=address.revision or None)
            raise CheckpointError(_without_model(address, sorted(names))) from error
    _check(Path(path), address)
    return Path(path)


def _without_model(address: HubAddress, names: Sequence[str]) -> str:
    """What to say about a repository that holds `names` and no model file."""
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        return (
            f"{address} holds {', '.join(pickles[:3])} and no {FILE}; such files can run code and are not opened: download the file and "
            "convert it with `sfumato import`, which reads tensors alone"
        )
    return f"{address} holds no {FILE}{', but ' + ', '.join(names[:5]) if names else ''}; a model of Sfumato is pushed with `sfumato push`"


def _check(path: Path, address: HubAddress) -> None:
    """Raises DownloadError, and removes the file, if its content is not what the hub's fingerprint says.

    The package compares the length alone. The cache names a file by its fingerprint: the SHA-256, or git's SHA-1 of small files. Where a
    file system has no links there is no such name, and nothing to compare.
    """
    content = path.resolve()
    expected = content.name
    if len(expected) == 64:
        actual = digest(content)
    elif len(expected) == 40:
        actual = _git_sha1(content)
    else:
        return
    if actual != expected:
        for place in (path, content):
            with contextlib.suppress(OSError):
                place.unlink()
        raise DownloadError(f"{address}: wrong content, the hub states {expected} and {FILE} has {actual}; run the command again")


def _git_sha1(path: Path) -> str:
    value = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value.update(block)
    return value.hexdigest()
