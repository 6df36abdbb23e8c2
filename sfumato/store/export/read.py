"""An exported file to a model that every verb takes."""

from pathlib import Path

from torch import nn

from sfumato.core import schema
from sfumato.core.atomic_io import digest
from sfumato.core.errors import CheckpointError, FormatError
from sfumato.store.export.facts import FORMAT, KEY, ExportFacts
from sfumato.store.export.networks import network_of
from sfumato.store.export.sessions import Runtime, Session, opened
from sfumato.store.loaded import LoadedModel

SUFFIXES = {".onnx": "onnxruntime", ".xml": "openvino"}
"""The usual runtime for each kind of file."""


def is_exported(path: Path) -> bool:
    """Whether a file is an exported model, by its name."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, *, runtime: Runtime | None = None, threads: int = 0) -> LoadedModel[nn.Module]:
    """The model in an exported file, computed by `runtime`, by default onnxruntime for .onnx and OpenVINO for .xml.

    Raises CheckpointError for a file that was not exported by Sfumato or is damaged, MissingExtraError without the library.
    """
    if path.suffix.lower() == ".xml" and runtime == "onnxruntime":
        raise CheckpointError(f"{path} is in OpenVINO's format, which onnxruntime does not read; take openvino, or export to .onnx")
    session = opened(path, runtime=runtime or ("openvino" if path.suffix.lower() == ".xml" else "onnxruntime"), threads=threads)
    try:
        facts = facts_in(session)
        network = network_of(facts, session, bytes.fromhex(digest(path)))
    except FormatError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return LoadedModel(network=network, card=facts.card, path=path)


def facts_in(session: Session) -> ExportFacts:
    """The facts in the metadata of a file. Raises FormatError if there are none, or if they are damaged or of a later format."""
    if KEY not in session.metadata:
        raise FormatError("a graph that was not exported by Sfumato: its metadata says nothing about scale, padding and range")
    facts = ExportFacts.read(schema.parsed_object(session.metadata[KEY], "its metadata"), "its metadata")
    if facts.format > FORMAT:
        raise FormatError(f"exported by a later version of Sfumato (format {facts.format}; this one reads {FORMAT})")
    return facts
