"""Images to an index. Vectors of images whose content is in an earlier index of the same model are taken over from there."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from sfumato.core.errors import CheckpointError, DataError, ImageError, MissingExtraError, SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.tensors import Crop
from sfumato.embeddings.embedder import BATCH, Embedder, embedder
from sfumato.embeddings.index import Changes, Index, load_index
from sfumato.embeddings.sources import ImageSource, Source, opened
from sfumato.store.export.backend import Backend
from sfumato.store.loaded import Model


def embed(
    source: Source,
    model: Model,
    *,
    earlier: Index | str | Path | None = None,
    crop: Crop = "centre",
    backend: Backend = "torch",
    device: str = "auto",
) -> Index:
    """The vectors of all images of `source`: a folder, a zip, a data set or its name. The result has `save(path)`.

    Images are resized to the size that the model takes; `crop` is centre (cut to its aspect ratio) or stretch. `earlier` is an index of
    the same place: only images whose content is not in it are computed, and images keep their numbers. An index of another model or with
    another crop is not used. `backend` is the library that computes the model, as in `with_backend`. Files that cannot be read are left out
    and listed in `result.changes.skipped`. Raises DataError for a source without images that can be read, UnknownNameError and SettingError
    as `embedder`, CheckpointError for an `earlier` that is no index.
    """
    if crop not in ("centre", "stretch"):
        raise SettingError(f"crop = {crop!r} must be centre or stretch")
    network = embedder(model, backend=backend, device=device)
    before = load_index(earlier) if isinstance(earlier, str | Path) else earlier
    if before is not None and (before.weights, before.crop, before.size) != (network.weights, crop, network.size):
        before = None
    with opened(source) as images:
        rows = _rows(images, network, before, crop)
        if not rows.paths:
            raise DataError(f"{images.name}: none of its {len(images.paths)} pictures can be read; the first error: {rows.skipped[0]}")
        ids, next_id = _ids(rows.paths, before)
        return Index(
            vectors=rows.vectors,
            ids=ids,
            digests=torch.tensor(list(b"".join(rows.digests)), dtype=torch.uint8).reshape(-1, 32),
            paths=rows.paths,
            model=inside(network.name),
            weights=network.weights,
            source=images.name,
            crop=crop,
            size=network.size,
            next_id=next_id,
            place=source,
            changes=_changes(rows, before),
        )


def reusable(path: Path) -> Index | None:
    """The index at `path`, to continue from; None if there is none, or if the file there is damaged and has to be made anew."""
    try:
        return load_index(path) if path.is_file() else None
    except CheckpointError:
        return None


@dataclasses.dataclass
class _Rows:
    """The images that could be read."""

    paths: tuple[str, ...]
    digests: list[bytes]
    vectors: torch.Tensor
    skipped: tuple[str, ...]


def _rows(images: ImageSource, network: Embedder, before: Index | None, crop: Crop) -> _Rows:
    """The vectors of all images that can be read, in their order; vectors of known content come from `before`."""
    vectors_of = (
        {} if before is None else {digest.numpy().tobytes(): vector for digest, vector in zip(before.digests, before.vectors, strict=True)}
    )
    digests, problems = dict[int, bytes](), dict[int, str]()
    for i in counted(range(len(images.paths)), "pictures hashed"):
        try:
            digests[i] = images.digest(i)
        except (ImageError, MissingExtraError) as error:
            problems[i] = str(error)
    new = list({digests[i]: i for i in reversed(digests) if digests[i] not in vectors_of}.values())[::-1]  # the first of equal ones
    refused = dict[bytes, str]()
    for start in counted(range(0, len(new), BATCH), "batches embedded"):
        batch = dict[bytes, torch.Tensor]()
        for i in new[start : start + BATCH]:
            try:
                pixels = images.pixels(i, channels=network.channels, size=network.size, crop=crop)
                batch[digests[i]] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
            except (ImageError, MissingExtraError) as error:
                refused[digests[i]] = str(error)
        if batch:
            vectors_of |= zip(batch, half(network.vectors(torch.stack(list(batch.values()))), network), strict=True)
    problems |= {i: refused[digest] for i, digest in digests.items() if digest in refused}
    whole = [i for i in digests if i not in problems]
    return _Rows(
        paths=tuple(images.paths[i] for i in whole),
        digests=[digests[i] for i in whole],
        vectors=torch.stack([vectors_of[digests[i]] for i in whole]) if whole else torch.empty(0, network.dimension, dtype=torch.float16),
        skipped=tuple(problems[i] for i in sorted(problems)),
    )


def half(vectors: torch.Tensor, network: Embedder) -> torch.Tensor:
    """Vectors in float16, as an index keeps them. Raises ImageError for numbers that are too large for it."""
    halved = vectors.half()
    if not halved.isfinite().all():
        raise ImageError(f"{network.name} gives vectors with numbers up to {vectors.abs().max():.3g}, and an index takes at most 65504")
    return halved


def _ids(paths: Sequence[str], before: Index | None) -> tuple[torch.Tensor, int]:
    """The number of each path, that of the earlier index where there is one, and the next free number."""
    numbers = {} if before is None else dict(zip(before.paths, before.ids.tolist(), strict=True))
    next_id = 0 if before is None else before.next_id
    ids = []
    for path in paths:
        if path not in numbers:
            numbers[path], next_id = next_id, next_id + 1
        ids.append(numbers[path])
    return torch.tensor(ids, dtype=torch.int64), next_id


def _changes(rows: _Rows, before: Index | None) -> Changes:
    digests = {} if before is None else {p: d.numpy().tobytes() for p, d in zip(before.paths, before.digests, strict=True)}
    states = [digests.get(path) for path in rows.paths]
    changed = sum(old is not None and old != new for old, new in zip(states, rows.digests, strict=True))
    added = sum(old is None for old in states)
    return Changes(
        added=added,
        changed=changed,
        removed=len(digests.keys() - set(rows.paths)),
        kept=len(rows.paths) - added - changed,
        skipped=rows.skipped,
    )
