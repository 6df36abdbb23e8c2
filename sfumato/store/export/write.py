"""A model to an ONNX or OpenVINO file, with the facts that a program needs to use it."""

import contextlib
import importlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import jaxtyping
import torch
from torch import Tensor, nn
from torch.export import Dim

from sfumato.core import atomic_io
from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError
from sfumato.core.extras import missing
from sfumato.core.versions import made_with
from sfumato.models.roles.base import export_graphs
from sfumato.models.roles.graph import ExportGraph, GraphInput
from sfumato.store.export.facts import KEY, ExportFacts, InputFacts
from sfumato.store.loaded import LoadedModel

Format = Literal["onnx", "openvino"]
ENDINGS: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
OPSET = 18
"""Version of the ONNX operators, for which the exporter is written; readers since 2022 know it."""


def graphs_of(model: LoadedModel[nn.Module]) -> dict[str, ExportGraph]:
    """The graphs of `model` by name, the main one first. Raises SettingError for a network that cannot be exported."""
    return export_graphs(model.network)


def chosen(model: LoadedModel[nn.Module], graphs: Mapping[str, ExportGraph], part: str) -> tuple[str, ExportGraph]:
    """The graph that is called `part`, with its name; the first without a name. Raises SettingError for another name."""
    name = part or next(iter(graphs))
    if name not in graphs:
        raise SettingError(f"{model} has no part {name!r}{suggest(name, graphs)}; it has {', '.join(graphs)}")
    return name, graphs[name]


def onnx_bytes(graph: ExportGraph, facts: ExportFacts) -> bytes:
    """The ONNX file of a graph, with its facts in the metadata. Raises MissingExtraError without the packages of the exporter."""
    program = _traced(graph)
    entry = program.model_proto
    while entry.metadata_props:
        entry.metadata_props.pop()
    return with_facts(entry.SerializeToString(), facts)


def with_facts(content: bytes, facts: ExportFacts) -> bytes:
    """The ONNX file `content` with `facts` instead of those that it has."""
    onnx = _onnx()
    proto = onnx.load_model_from_string(content)
    kept = [(each.key, each.value) for each in proto.metadata_props if each.key != KEY]
    onnx.helper.set_model_props(proto, dict([*kept, (KEY, json.dumps(facts.dump()))]))
    return proto.SerializeToString()


def facts_of(model: LoadedModel[nn.Module], name: str, graph: ExportGraph) -> ExportFacts:
    """The facts about `graph`, the part `name` of `model`."""
    channels = graph.facts.get("channels")
    path = model.path if model.path is not None and model.path.is_file() else None
    return ExportFacts(
        name=model.card.name or (model.path.stem if model.path else type(model.network).__name__.lower()),
        part=name,
        role=graph.role,
        made_with=made_with(),
        weights=atomic_io.digest(path) if path else "",
        colour="grey" if channels == 1 else "RGB, sRGB" if channels == 3 else "",
        inputs=tuple(_facts_of_input(each) for each in graph.inputs),
        outputs=graph.outputs,
        network=graph.facts,
        card=model.card,
    )


def write(path: Path, content: bytes, facts: ExportFacts, *, to: Format) -> None:
    """Writes the ONNX file `content`, or its conversion for OpenVINO, with `facts`. An old file is replaced whole or not at all."""
    content = with_facts(content, facts)
    if to == "onnx":
        atomic_io.write(path, content)
        return
    try:
        openvino = importlib.import_module("openvino")
    except ImportError as error:
        raise missing("the OpenVINO format needs", "openvino") from error
    converted = openvino.Core().read_model(model=content)
    converted.set_rt_info(json.dumps(facts.dump()), [KEY])
    with tempfile.TemporaryDirectory() as place:
        structure, values = Path(place, "model.xml"), Path(place, "model.bin")
        openvino.serialize(converted, str(structure), str(values))
        atomic_io.write(path.with_suffix(".bin"), values.read_bytes())
        atomic_io.write(path, structure.read_bytes())


def _facts_of_input(each: GraphInput) -> InputFacts:
    shape = tuple(each.free.get(axis, length) for axis, length in enumerate(each.example.shape))
    kind = str(each.example.dtype).removeprefix("torch.")
    return InputFacts(name=each.name, shape=shape, type=kind, multiple=each.multiple, about=each.about)


def _traced(graph: ExportGraph) -> "torch.onnx.ONNXProgram":
    _onnx()
    examples = tuple(each.example for each in graph.inputs)
    free = tuple(dict.fromkeys(each.free, Dim.DYNAMIC) for each in graph.inputs)
    names, outputs = [each.name for each in graph.inputs], list(graph.outputs)
    with _quiet(), _unchecked(), torch.no_grad():
        program = torch.onnx.export(
            _Positional(graph.module).eval(),
            examples,
            dynamo=True,
            dynamic_shapes=(free,),
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program


class _Positional(nn.Module):
    """A module whose inputs have no names of their own, as the exporter matches the sizes of inputs by position."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> object:
        """The outputs of the module."""
        return self.module(*inputs)


def _onnx() -> "onnx":  # type: ignore[name-defined]
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter imports it
    except ImportError as error:
        raise missing("exporting needs", "onnx") from error
    return onnx


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what the exporter says about itself: packages that it looks for in vain, and changes of later versions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _unchecked() -> Iterator[None]:
    """Without the checks of shapes at run time, if a program has them on: they read the length of every axis, and so fix free ones."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
