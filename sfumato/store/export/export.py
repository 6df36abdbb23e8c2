"""The verbs of exporting: a model to a file that is compared with the model before anybody uses it, and the comparison alone."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from sfumato.core.errors import SettingError
from sfumato.store import weights
from sfumato.store.export import quantize, sessions
from sfumato.store.export.facts import ExportFacts, Parity
from sfumato.store.export.parity import TOLERANCE, parity
from sfumato.store.export.read import facts_in
from sfumato.store.export.write import ENDINGS, Format, chosen, facts_of, graphs_of, onnx_bytes, write
from sfumato.store.loaded import Model


@dataclass(frozen=True)
class Exported:
    """A file that was exported."""

    path: Path
    facts: ExportFacts
    others: tuple[str, ...]
    """Names of the other graphs of the model."""


def export(model: Model, path: str | Path, *, to: Format | None = None, part: str = "", int8: str | Path | None = None) -> Exported:
    """Writes the network of `model` to `path` as an ONNX file, or in OpenVINO's format, and compares the file with the model.

    `part` names one of several graphs, such as grey of a restorer with a network of its own for grey pictures, or encoder of a VAE; the
    main one without a name. Batch, height and width are free where the network allows it; latents, labels, truncation and noise are
    inputs. With `int8`, a folder of pictures, weights and activations have 8 bits, with ranges from these pictures. Facts for using the
    file lie in its metadata (`store/export/facts.py`).

    Raises SettingError for a network that cannot be exported, an unknown part, or a path with another ending; MissingExtraError without
    the packages; CheckpointError if a file in float32 differs from the model by more than 1e-4 of full scale.
    """
    target, source = Path(path), weights.model_of(model)
    form = checked_format(target, to)
    graphs = graphs_of(source)
    name, graph = chosen(source, graphs, part)
    if int8 is not None:
        quantize.check(graph)
    facts = facts_of(source, name, graph)
    content = onnx_bytes(graph, facts)
    if int8 is not None:
        content, facts = quantize.quantized(content, graph, int8), replace(facts, number_format="int8")
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place, f"draft{target.suffix}")
        write(draft, content, facts, to=form)
        facts = replace(facts, parity=parity(draft, graph, tolerance=_tolerance(facts)))
    write(target, content, facts, to=form)
    return Exported(target, facts, tuple(each for each in graphs if each != name))


def checked_format(path: Path, to: Format | None = None) -> Format:
    """The format of a file to be written, by its ending. Raises SettingError for another ending than that of `to`."""
    form: Format = to or ("openvino" if path.suffix.lower() == ".xml" else "onnx")
    if path.suffix.lower() != ENDINGS[form]:
        raise SettingError(f"{path} must end in {ENDINGS[form]} for the format {form}")
    return form


def verify(path: str | Path, model: Model) -> Parity:
    """The largest difference between an exported file and `model`, at three sizes and with one and three images.

    Another process computes the file, without PyTorch. Raises CheckpointError if the file was not exported by Sfumato, or computes
    something else than the model, with a difference above 1e-4 of full scale (of any size for 8 bits).
    """
    file = Path(path)
    facts = facts_in(sessions.opened(file, runtime="openvino" if file.suffix == ".xml" else "onnxruntime"))
    source = weights.model_of(model)
    _, graph = chosen(source, graphs_of(source), facts.part)
    return parity(file, graph, tolerance=_tolerance(facts))


def _tolerance(facts: ExportFacts) -> float:
    """8 bits are as far from float32 as they are: the difference is told, and no error."""
    return TOLERANCE if facts.number_format == "float32" else float("inf")
