"""Other people's weights: read without running anything, recognised by the names and shapes of their tensors, loaded strictly.

    file ─ read ─ tensors ─ recognise ─ settings and state ─ build, load, check ─ network
    snapshot of a GAN ─ pickles.read ─ networks by name ─ converted ─┘

Each file of this room knows one family's layouts: its `claim` gives what the tensors are, or None. Exactly one must.
"""

from pathlib import Path

from torch import nn

from sfumato.core.catalog import Catalog
from sfumato.core.errors import CheckpointError
from sfumato.models.roles.base import implausible
from sfumato.store import checkpoint, pickles, unsupported
from sfumato.store.cards import ImportedFrom, ModelCard
from sfumato.store.foreign.base import RecognizedWeights, Tensors, read
from sfumato.store.loaded import LoadedModel
from sfumato.store.recognized import built
from sfumato.store.snapshots import converted

LAYOUTS = Catalog(__name__, entry="claim")


def load(path: Path, scale: int | None = None) -> LoadedModel[nn.Module]:
    """The network whose weights are in `path`, ready for use, with its settings and a card that names the file.

    `scale` chooses among networks of several enlargements in one file. Raises CheckpointError if the file is damaged or holds anything
    but tensors, if no family knows its layout or several do, if none enlarges `scale` times, and if the weights do not fit.
    """
    kind = snapshot_kind(path)
    if kind is None:
        tensors, digest = read(path)
        recognized = recognise(tensors, path)
        licence = recognized.terms
    else:
        snapshot = pickles.read(path)
        recognized, digest, licence = converted(snapshot, path), snapshot.sha256, snapshot.licence
    recognized = enlarging(recognized, scale, path)
    network = checkpoint.ready(built(recognized, path))
    _check_output(network, recognized, path)
    source = ImportedFrom(
        file=path.name,
        sha256=digest,
        layout=recognized.layout,
        notes=recognized.notes,
        licence=licence,
        origin=recognized.origin,
    )
    return LoadedModel(network=network, config=recognized.config, card=ModelCard(imported=source), path=path)


def enlarging(recognized: RecognizedWeights, scale: int | None, path: Path) -> RecognizedWeights:
    """`recognized`, or the one of its `others` that enlarges `scale` times. Raises CheckpointError, with the choices, if none does."""
    by_scale = {getattr(each.config, "scale", 1): each for each in (recognized, *recognized.others)}
    if scale is None:
        return recognized
    if scale not in by_scale:
        choices = ", ".join(f"x{each}" for each in sorted(by_scale))
        raise CheckpointError(f"{path}: holds {recognized.layout}; it enlarges {choices}, and not x{scale}")
    return by_scale[scale]


def snapshot_kind(path: Path) -> str | None:
    """Whose snapshot of a GAN `path` is (see `pickles.kind`), or None if it is a table of tensors.

    Raises CheckpointError for what is no file of weights, and, naming what was asked for, for a .pkl that is no such snapshot.
    """
    unsupported.check_importable(path)
    if unsupported.is_matlab(path):
        return None
    if path.suffix == ".pkl":
        return pickles.kind(path)
    if path.suffix not in (".pt", ".pth"):
        return None
    try:
        return pickles.kind(path)
    except CheckpointError:
        return None  # a table of tensors; or else `read` says what is wrong


def recognise(tensors: Tensors, path: Path) -> RecognizedWeights:
    """What `tensors` are. Raises CheckpointError, naming those that claim them, unless exactly one family does."""
    claims = [recognized for name in LAYOUTS for recognized in [_claimed(name, tensors)] if recognized is not None]
    if len(claims) == 1:
        return claims[0]
    if claims:
        raise CheckpointError(f"{path}: fits several layouts ({'; '.join(c.layout for c in claims)}), and nothing in it says which")
    if theirs := unsupported.family(tensors):
        raise CheckpointError(f"{path}: has the names of {theirs}, which no network here runs; known are {', '.join(LAYOUTS)}")
    first = ", ".join(f"{k} {tuple(v.shape)}" for k, v in list(tensors.items())[:3])
    raise CheckpointError(f"{path}: no known layout; known are {', '.join(LAYOUTS)}; it begins with {first}")


def _claimed(name: str, tensors: Tensors) -> RecognizedWeights | None:
    """What a layout says of `tensors`. Names of a family in shapes that none of it has are none of it."""
    try:
        return LAYOUTS[name](tensors)
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError):
        return None


def _check_output(network: nn.Module, recognized: RecognizedWeights, path: Path) -> None:
    """Raises CheckpointError if the output for a simple input shows that these are the weights of another network."""
    if reason := implausible(network):
        raise CheckpointError(f"{path}: loads as {recognized.layout}, but {reason}")
