"""Libraries that compute an exported graph: onnxruntime and OpenVINO behind one call, on numpy arrays and without PyTorch."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from sfumato.core.errors import CheckpointError
from sfumato.core.extras import missing
from sfumato.store.export.facts import KEY

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

Runtime = Literal["onnxruntime", "openvino"]
LARGEST = 1 << 31
"""Bytes of the largest file that is read: the limit of the ONNX format."""


@runtime_checkable
class Session(Protocol):
    """A graph that is ready to be computed."""

    @property
    def name(self) -> str:
        """Library and version."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Entries of the metadata of the file."""
        ...

    def run(self, inputs: "Arrays") -> "list[np.ndarray]":
        """The outputs of the graph, in their order; inputs that the graph does not have are left out."""
        ...


def opened(source: Path | bytes, *, runtime: Runtime = "onnxruntime", threads: int = 0, name: str = "the graph") -> Session:
    """The graph in a file or in the bytes of an ONNX file, ready to be computed with `threads` threads (0: one for each core).

    Nothing outside of the file is read. Raises MissingExtraError without the library; CheckpointError, naming the file or `name`, for
    what is no graph.
    """
    if isinstance(source, Path):
        name = str(source)
        if not source.is_file():
            raise CheckpointError(f"no model file {source}")
        if source.stat().st_size > LARGEST:
            raise CheckpointError(f"{source} has {source.stat().st_size:,} bytes; an exported model has at most {LARGEST:,}")
    kind = {"onnxruntime": _Onnxruntime, "openvino": _Openvino}[runtime]
    try:
        return kind.opened(source, threads)
    except ImportError as error:
        raise missing("exported models need", runtime) from error
    except (RuntimeError, ValueError, OSError) as error:  # the errors of both libraries
        raise CheckpointError(f"{name} is no graph that {runtime} computes: {_first_line(error)}") from error


@dataclass(frozen=True)
class _Onnxruntime:
    session: "onnxruntime.InferenceSession"  # type: ignore[name-defined]
    name: str
    metadata: Mapping[str, str]

    @classmethod
    def opened(cls, source: Path | bytes, threads: int) -> Session:
        """As the function `opened`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Threads that wait for work would otherwise spin, which costs the other processes of a busy machine their time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # From bytes and not from the path: tensors in files beside the model, at places that the model names, are then out of reach.
        content = source.read_bytes() if isinstance(source, Path) else source
        try:
            # Without a second attempt, which would print lines of its own.
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception as error:  # its errors have no common base
            raise ValueError(_first_line(error)) from error
        return cls(session, f"onnxruntime {onnxruntime.__version__}", session.get_modelmeta().custom_metadata_map)

    def run(self, inputs: "Arrays") -> "list[np.ndarray]":
        """As `Session.run`."""
        names = {each.name for each in self.session.get_inputs()}
        return self.session.run(None, {name: value for name, value in inputs.items() if name in names})


@dataclass(frozen=True)
class _Openvino:
    compiled: "openvino.CompiledModel"  # type: ignore[name-defined]
    name: str
    metadata: Mapping[str, str]

    @classmethod
    def opened(cls, source: Path | bytes, threads: int) -> Session:
        """As the function `opened`; also for OpenVINO's own format, an .xml beside a .bin."""
        openvino = importlib.import_module("openvino")
        core = openvino.Core()
        own = isinstance(source, Path) and source.suffix.lower() == ".xml"
        model = core.read_model(source) if own else core.read_model(model=source.read_bytes() if isinstance(source, Path) else source)
        # OpenVINO would otherwise choose 16 bits by itself on some processors.
        settings: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        places = ([KEY], ["framework", KEY])  # in its own format, and in an ONNX file
        texts = [str(model.get_rt_info(place).value) for place in places if model.has_rt_info(place)]
        metadata = {KEY: texts[0]} if texts else {}
        return cls(core.compile_model(model, "CPU", settings), f"openvino {openvino.__version__.partition('-')[0]}", metadata)

    def run(self, inputs: "Arrays") -> "list[np.ndarray]":
        """As `Session.run`."""
        names = {name for each in self.compiled.inputs for name in each.names}
        outputs = self.compiled({name: value for name, value in inputs.items() if name in names})
        return [outputs[each] for each in self.compiled.outputs]


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
