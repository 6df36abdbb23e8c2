"""Networks of a loaded model replaced by their exported graphs: another library computes them, and all else stays as it is.

    model ─ graphs ─ file in the cache, or the exporter ─ session ─ compared ─> network of the same role in the place of each

Padding, tiles, planes, ensembles and pairs of networks are outside of the graphs, and are computed as ever.
"""

import contextlib
import copy
import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from sfumato.core import atomic_io
from sfumato.core.errors import CheckpointError, StorageError
from sfumato.core.paths import cache_folder
from sfumato.core.progress import once
from sfumato.core.versions import made_with
from sfumato.models.roles.graph import ExportGraph
from sfumato.store import weights
from sfumato.store.export import sessions
from sfumato.store.export.facts import FORMAT
from sfumato.store.export.networks import network_of
from sfumato.store.export.parity import TOLERANCE, random_inputs
from sfumato.store.export.read import facts_in, is_exported, load
from sfumato.store.export.sessions import Runtime, Session
from sfumato.store.export.write import OPSET, chosen, facts_of, graphs_of, onnx_bytes
from sfumato.store.loaded import LoadedModel, Model

Backend = Literal["torch", "onnxruntime", "openvino"]
_SIZE = (40, 72)
"""Height and width at which a graph is compared with its network each time that it is opened."""


def with_backend(model: Model, backend: Backend, *, part: str = "") -> LoadedModel[nn.Module]:
    """The model, whose networks `backend` computes: PyTorch itself, onnxruntime or OpenVINO, with as many threads as PyTorch has.

    The networks of a restorer are replaced each in its place; of another model the graph `part`, by default the main one, is the whole
    network, as `sfumato export` writes it. A graph is made once for the file of a model, and kept in the cache (SFUMATO_CACHE). It
    computes on the processor and has no gradient. Raises SettingError for a network that cannot be exported, MissingExtraError without
    the packages, CheckpointError if the graph computes something else than the network.
    """
    source = weights.model_of(model)
    if backend == "torch":
        return source
    if source.path is not None and is_exported(source.path):
        return load(source.path, runtime=backend, threads=torch.get_num_threads())
    graphs = graphs_of(source)
    if next(iter(graphs.values())).role != "restorer":
        name, graph = chosen(source, graphs, part)
        return LoadedModel(network=_opened(source, name, graph, backend), card=source.card, path=source.path)
    leaves = {id(graph.module): _opened(source, name, graph, backend) for name, graph in graphs.items()}
    # A deep copy takes what `leaves` names for copies that are made already.
    return LoadedModel(network=copy.deepcopy(source.network, dict(leaves)), config=source.config, card=source.card, path=source.path)


def _opened(model: LoadedModel[nn.Module], name: str, graph: ExportGraph, runtime: Runtime) -> nn.Module:
    """The network of a graph, out of the cache if it is there and computes what the network does."""
    kept = _place(model, name)
    if kept is not None and kept.is_file():
        with contextlib.suppress(CheckpointError):  # of an earlier state of the code, or damaged: it is made anew
            return _checked(kept.read_bytes(), graph, runtime)
    with once():
        content = onnx_bytes(graph, facts_of(model, name, graph))
        network = _checked(content, graph, runtime)
    if kept is not None:
        with contextlib.suppress(StorageError, OSError):  # without a cache it is made each time
            kept.parent.mkdir(parents=True, exist_ok=True)
            atomic_io.write(kept, content)
    return network


def _place(model: LoadedModel[nn.Module], name: str) -> Path | None:
    """The file in the cache for a part of a model: it is called by the content of the model's file. None for a network without a file."""
    if model.path is None or not model.path.is_file():
        return None
    key = f"{atomic_io.digest(model.path)} {name} {made_with()} {OPSET} {FORMAT}"
    return cache_folder() / "exported" / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"


def _checked(content: bytes, graph: ExportGraph, runtime: Runtime) -> nn.Module:
    """The network of an ONNX file. Raises CheckpointError if it computes something else than `graph`."""
    session = sessions.opened(content, runtime=runtime, threads=torch.get_num_threads())
    try:
        difference = _difference(session, graph)
    except Exception as error:  # those of the libraries have no common base
        raise CheckpointError(f"{session.name} cannot compute the network: {' '.join(str(error).split())[:200]}") from error
    if not difference <= TOLERANCE:
        raise CheckpointError(f"{session.name} differs from the network by {difference:.1e} of full scale; take the backend torch")
    return network_of(facts_in(session), session, hashlib.sha256(content).digest())


def _difference(session: Session, graph: ExportGraph) -> float:
    """The largest difference of the outputs for random inputs, in shares of full scale."""
    inputs = random_inputs(graph, _SIZE, 3, seed=0)
    with torch.no_grad():
        expected = graph.module(*inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    outputs = session.run({name: value.numpy() for name, value in inputs.items()})
    if [output.shape for output in outputs] != [tuple(each.shape) for each in expected]:
        return float("inf")
    return max(
        float(np.abs(output - each.numpy()).max()) / max(1.0, each.abs().max().item())
        for output, each in zip(outputs, expected, strict=True)
    )
