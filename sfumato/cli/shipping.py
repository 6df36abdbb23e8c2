"""The verbs that bring a model to others and from others: `export`, `verify`, `push`, `get`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Model, Overwrite, Threads, machine, progress
from sfumato.core.errors import SettingError

Exported = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
Repository = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OWNER/NAME")]
Name = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]


def export(
    model: Model,
    *,
    out: Path,
    to: Annotated[Literal["onnx", "openvino"] | None, tyro.conf.arg(metavar="onnx|openvino")] = None,
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
        from sfumato.store.export.export import checked_format
        from sfumato.store.export.export import export as write
        from sfumato.store.weights import existing_model

        form = checked_format(out, to)
        files = [out, *([out.with_suffix(".bin")] if form == "openvino" else [])]
        with outputs.reserved(files, by="export", overwrite=overwrite, reads=(existing_model(model),)):
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


def push(
    model: Model,
    repository: Repository,
    *,
    pictures: tuple[Path, ...] = (),
    private: bool = False,
    threads: Threads = None,
) -> None:
    """Share a model on a hub: sfumato push MODEL OWNER/NAME.

    The model file (safetensors) and a README made from its card become one commit. Everybody who may read the repository can then give
    hf:OWNER/NAME to every verb that takes a model. HF_TOKEN or `hf auth login` gives the token, HF_ENDPOINT another hub.

    Args:
        repository: Repository of the model: OWNER/NAME, or OWNER/NAME@BRANCH. It is created if there is none.
        pictures: Pictures for the README (.png, .jpg, .webp). Default: none.
        private: Only the owner may read a new repository.

    """
    with machine(threads):
        from sfumato.store.hub.push import push as send

        pushed = send(model, repository, private=private, pictures=pictures)
        console.print(f"pushed: {pushed.address}", highlight=False, soft_wrap=True)
        console.print(f"sha256 of model.safetensors: {pushed.sha256}", highlight=False, soft_wrap=True)


def get(
    name: Name = "",
    *,
    list: bool = False,
    out: Path | None = None,
    overwrite: Overwrite = False,
) -> None:
    """Download public weights of others as a model file: sfumato get NAME.

    An interrupted download is resumed by the same command. A file with another SHA-256 than the published one is refused; where none is
    published, the network is recognised by its tensors alone. The weights stay under the licence of their authors.

    Args:
        name: Name of the weights. Default: none; --list shows the names.
        list: List the weights with address, licence and SHA-256, and download nothing.
        out: The new model file. Default: NAME.safetensors.

    """
    with machine(1):
        from sfumato.store import catalogue

        if list:
            if name or out is not None:
                raise SettingError("--list downloads nothing, so that NAME and --out have no effect; leave them out")
            for entry in catalogue.CATALOGUE.values():
                console.print(f"{entry.name}: {entry.purpose}", style="bold", highlight=False, soft_wrap=True)
                for file in entry.files:
                    sha256 = file.sha256 or catalogue.NOT_PUBLISHED
                    for line in (f"{file.folder}/{file.name}", f"licence: {file.terms}; sha256: {sha256}"):
                        console.print(f"    {line}", style="dim", highlight=False, soft_wrap=True)
            return
        if not name:
            raise SettingError("`sfumato get` wants the name of weights; `sfumato get --list` lists them")
        with progress():
            obtained = catalogue.get_weights(name, out, overwrite=overwrite)
        source = obtained.model.card.imported
        compared = "as published" if obtained.published else "none is published to compare"
        console.print(f"{'; '.join(filter(None, (source.layout, source.notes)))}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"licence: {catalogue.CATALOGUE[name].licence}", highlight=False, soft_wrap=True)
        console.print(f"sha256 of {source.file}: {source.sha256} ({compared})", highlight=False, soft_wrap=True)
        console.print(f"model: {obtained.path}", highlight=False, soft_wrap=True)


VERBS: tuple[Callable[..., None], ...] = (export, verify, push, get)
