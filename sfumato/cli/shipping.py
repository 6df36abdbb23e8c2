"""The verbs that bring a model to programs without PyTorch: `export` and `verify`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Model, Overwrite, Threads, machine

Exported = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]


def export(
    model: Model,
    *,
    out: Path,
    to: Literal["onnx", "openvino"] | None = None,
    part: str = "",
    int8: str | None = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
) -> None:
    """Write a model to a file for onnxruntime or OpenVINO: sfumato export MODEL --out m.onnx.

    The file is compared with the model before it is used, and says in its metadata how pictures are padded and in which range values are.
    Every verb takes the file as a MODEL.

    Args:
        out: The new file: .onnx, or .xml for OpenVINO (with a .bin beside it).
        to: Format of the file. Default: by the ending of --out.
        part: Name of one of several networks of a model, such as grey (a restorer's network for grey pictures) or encoder (of a VAE).
            Default: the main network.
        int8: Pictures that the ranges of an 8-bit network are taken from: a folder, an archive or the name of a data set. Default:
            float32.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.store import inputs
        from sfumato.store.export.export import checked_format
        from sfumato.store.export.export import export as write

        form = checked_format(out, to)
        files = [out, *([out.with_suffix(".bin")] if form == "openvino" else [])]
        with outputs.reserved(files, by="export", overwrite=overwrite, reads=(inputs.model(model),)):
            result = write(model, out, to=to, part=part, int8=int8)
        facts, parity = result.facts, result.facts.parity
        assert parity is not None
        size = sum(file.stat().st_size for file in files) / 1e6
        console.print(f"{out}: {facts.part} of {facts.name}, {facts.number_format}, {size:.1f} MB", highlight=False)
        console.print(f"largest difference from the model: {parity.difference:.1e} of full scale ({parity.runtime})", highlight=False)
        if result.others:
            console.print(f"further parts, with --part: {', '.join(result.others)}", highlight=False)


def verify(file: Exported, model: Model, *, threads: Threads = None) -> None:
    """Compare an exported file with its model: sfumato verify m.onnx MODEL.

    Outputs for random inputs are compared at three sizes, and for one and three images. Another process computes the file, without PyTorch.

    Args:
        file: The exported file.

    """
    with machine(threads):
        from sfumato.store.export.export import verify as compare

        parity = compare(file, model)
        console.print(f"largest difference: {parity.difference:.1e} of full scale ({parity.runtime}); inputs of", highlight=False)
        for shape in parity.shapes:
            console.print(f"  {shape}", highlight=False)


VERBS: tuple[Callable[..., None], ...] = (export, verify)
