"""An index in a file, the place of its pictures, and its model."""

import dataclasses
from pathlib import Path

from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.progress import remark
from sfumato.core.text import quoted
from sfumato.embeddings.embedder import Embedder, embedder
from sfumato.embeddings.index import Index, load_index
from sfumato.store.loaded import Model


def opened_index(path: str | Path, place: str | None = None) -> Index:
    """The index in a file, whose pictures lie at `place`, or beside it if that is None. Raises CheckpointError as `load_index`."""
    index = load_index(path)
    return index if place is None else dataclasses.replace(index, place=place)


def index_embedder(index: Index, model: Model | None = None, *, device: str = "auto") -> Embedder:
    """The model of the index. Raises SettingError if it is not found by its name, or if `model` is another one."""
    try:
        network = embedder(index.model if model is None else model, device=device)
    except SfumatoError as error:
        if model is not None:
            raise
        raise SettingError(f"the model of the index cannot be opened ({error}); name it with --model") from error
    same_model(index, network)
    return network


def same_model(index: Index, network: Embedder) -> None:
    """Raises SettingError if the index holds vectors of another network than this."""
    if (index.weights, index.vectors.shape[1]) != (network.weights, network.dimension):
        raise SettingError(
            f"the index holds vectors of {quoted(index.model)}, whose weights are not those of {quoted(network.name)} now; name the model "
            "of the index, or embed the pictures again"
        )


def optional_embedder(index: Index, model: Model | None = None, *, device: str = "auto") -> Embedder | None:
    """As `index_embedder`; None, with a remark, if the model of the index is not found and none is given."""
    try:
        return index_embedder(index, model, device=device)
    except SettingError as error:
        if model is not None:
            raise
        remark(f"the means of the groups are not decoded: {error}")
        return None
