"""Other people's weights, as files of ours."""

from pathlib import Path

from safetensors.torch import save as serialised

from sfumato.core import atomic_io, inputs, outputs
from sfumato.core.errors import CheckpointError
from sfumato.io.decode import SUFFIXES
from sfumato.store import checkpoint, foreign, pickles, unsupported
from sfumato.store.cards import ImportedFrom

NAMED = ("stylegan3", "r3gan")
"""What is read, though there is no network here that runs it."""


def import_weights(path: str | Path, out: str | Path | None = None, *, scale: int | None = None, overwrite: bool = False) -> list[str]:
    """Writes the network in `path` as a model file of ours, by default beside it; gives what to say about it, line by line.

    Nothing of the file is run. `scale` chooses the enlargement if the file fits networks of several (CARN-M, FSRCNN, PAN). A snapshot
    of StyleGAN3 or R3GAN, which there is no network for, becomes a table of its tensors.
    Raises CheckpointError if the file is refused, damaged or unknown, SettingError if there is a file in the place of the result that
    is not to be replaced, or if that is the file itself.
    """
    path = Path(inputs.file(path))
    target = path.with_suffix(".safetensors") if out is None else Path(out)
    if path.suffix.lower() in SUFFIXES:
        raise CheckpointError(f"{path}: is a picture, and no file of weights")
    unsupported.check_importable(path)  # before the place of the result: that the file is none is worth more to know
    outputs.check_ending(target, (".safetensors",), "models")
    with outputs.reserved([target], by="import", overwrite=overwrite, reads=(path,), replaces=False):
        return _import(path, target, scale)


def _import(path: Path, target: Path, scale: int | None) -> list[str]:
    """`import_weights`, once the result has a place."""
    kind = foreign.snapshot_kind(path)
    if kind in NAMED:
        snapshot = pickles.read(path)
        # Each for itself: the file may use one for two.
        tensors = {
            f"{name}.{key}": value.clone().contiguous() for name, net in snapshot.networks.items() for key, value in net.tensors.items()
        }
        checkpoint.check_finite(tensors, path)
        facts = {"kind": kind, "file": path.name, "sha256": snapshot.sha256, "licence": snapshot.licence}
        atomic_io.write(target, serialised(tensors, metadata=facts))
        summary = f"{kind}: {len(tensors)} tensors, which no network here runs"
        return [summary, f"licence: {snapshot.licence}", f"sha256 of {path.name}: {snapshot.sha256}", f"tensors: {target}"]
    model = foreign.load(path, scale)
    checkpoint.save_model(target, model)
    source = model.card.imported
    recognised = "; ".join(filter(None, (source.layout, source.notes)))
    return [recognised, *_provenance(source), f"sha256 of {path.name}: {source.sha256}", f"model: {target}"]


def _provenance(source: ImportedFrom) -> list[str]:
    """The licence of weights and where their layout comes from, line by line."""
    if not source.origin:
        return [f"licence: {source.licence or 'the weights remain under the licence of their authors'}"]
    stated = f"{source.licence} for the authors' own weights" if source.licence else "not known here, see the origin"
    return [f"licence: {stated}; weights that others trained are under theirs", f"origin of the layout: {source.origin}"]
