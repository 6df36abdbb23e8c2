"""Images to an index. Vectors of images whose content is in an earlier index of the same model are taken over from there."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch

from sfumato.batch.workers import Workers
from sfumato.core.errors import CheckpointError, DataError, ImageError, MissingExtraError, SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.tensors import Crop
from sfumato.data.dataset import Dataset
from sfumato.embeddings.embedder import BATCH, DEFAULT_MODEL, Embedder, embedder, half
from sfumato.embeddings.index import Changes, Index, load_index
from sfumato.embeddings.sources import ImageSource, Source, absolute, opened
from sfumato.embeddings.workers import Embedding, shared_vectors
from sfumato.store.export.backend import Backend
from sfumato.store.loaded import Model

_Computed: TypeAlias = tuple[dict[bytes, torch.Tensor], dict[bytes, str]]
"""Vectors by the digest of their image, and for each digest without one the reason."""
_Compute: TypeAlias = Callable[[Mapping[int, bytes]], _Computed]


@dataclasses.dataclass
class _Rows:
    """The images that could be read."""

    paths: tuple[str, ...]
    digests: list[bytes]
    vectors: torch.Tensor
    skipped: tuple[str, ...]


def embed(
    source: Source,
    model: Model = DEFAULT_MODEL,
    *,
    earlier: Index | str | Path | None = None,
    parts: Sequence[Index | str | Path] = (),
    crop: Crop = "centre",
    backend: Backend = "torch",
    device: str = "auto",
    workers: Workers | None = None,
    folder: str | Path | None = None,
) -> Index:
    """The vectors of all images of `source`: a folder, a zip, a data set or its name. The result has `save(path)`.

    `model` is any that turns images into vectors, by default the bundled codec (how much of each of its patterns an image has). Images are
    resized to the size that the model takes; `crop` is centre (cut to its aspect ratio) or stretch. `earlier` is an index of
    the same place: only images whose content is not in it are computed, and images keep their numbers. Vectors of `parts` are taken over
    too, such as those of the indexes of shards. An index of another model or with another crop is not used. `backend` is the library that
    computes the model, as in `with_backend`.

    `workers` share the images, by default this process does them alone; with a shard the index has the images of the shard only, perhaps
    none. Their vectors lie in `folder`, from which an interrupted call continues, by default in a temporary one.

    Files that cannot be read are left out and listed in `result.changes.skipped`. Raises DataError for a source without images that can
    be read, UnknownNameError and SettingError as `embedder`, CheckpointError for an `earlier` or a part that is no index, ProcessError if
    the workers cannot work.
    """
    if crop not in ("centre", "stretch"):
        raise SettingError(f"crop = {crop!r} must be centre or stretch")
    workers = workers or Workers()
    workers.check()
    if workers.exact and not isinstance(source, str | Path | Dataset):
        raise SettingError("workers share the pictures of a folder, a zip or a data set; a list is embedded without them")
    network = embedder(model, backend=backend, device=device)
    before, *others = (_usable(each, network, crop) for each in (earlier, *parts))
    with opened(source) as images:
        numbers = [i for i, path in enumerate(images.paths) if workers.has(Path(path))]
        task = _task(source, model, network, crop=crop, backend=backend, device=device)
        shared = functools.partial(_shared, task, workers, None if folder is None else Path(folder), images)
        compute = shared if workers.exact else functools.partial(_in_batches, network, crop, images)
        rows = _rows(images, numbers, network, [each for each in (*others, before) if each is not None], compute)
        if numbers and not rows.paths:
            raise DataError(f"{images.name}: none of its {len(numbers)} pictures can be read; the first error: {rows.skipped[0]}")
        return _index(rows, network, before, name=images.name, crop=crop, place=source)


def _index(rows: _Rows, network: Embedder, before: Index | None, *, name: str, crop: Crop, place: Source) -> Index:
    """The index of the images that could be read; `name` is that of their source."""
    ids, next_id = _ids(rows.paths, before)
    return Index(
        vectors=rows.vectors,
        ids=ids,
        digests=torch.tensor(list(b"".join(rows.digests)), dtype=torch.uint8).reshape(-1, 32),
        paths=rows.paths,
        model=inside(network.name),
        weights=network.weights,
        source=name,
        crop=crop,
        size=network.size,
        next_id=next_id,
        place=place,
        changes=_changes(rows, before),
    )


def _usable(index: Index | str | Path | None, network: Embedder, crop: Crop) -> Index | None:
    """The index, if its vectors are those that `network` computes. Raises CheckpointError for a file that is no index."""
    loaded = load_index(index) if isinstance(index, str | Path) else index
    same = loaded is not None and (loaded.weights, loaded.crop, loaded.size) == (network.weights, crop, network.size)
    return loaded if same else None


def _task(source: Source, model: Model, network: Embedder, *, crop: Crop, backend: Backend, device: str) -> Embedding:
    """The work of `embed` as a task of the batch engine."""
    request = {"verb": "embed", "weights": network.weights, "size": list(network.size), "crop": crop, "backend": backend}
    return Embedding(request=request, overwrite=True, source=absolute(source), model=model, crop=crop, backend=backend, device=device)


def reusable(path: Path) -> Index | None:
    """The index at `path`, to continue from; None if there is none, or if the file there is damaged and has to be made anew."""
    try:
        return load_index(path) if path.is_file() else None
    except CheckpointError:
        return None


def _rows(images: ImageSource, numbers: Sequence[int], network: Embedder, indexes: Sequence[Index], compute: _Compute) -> _Rows:
    """The vectors of the images with these numbers, as far as they can be read; vectors of content that `indexes` have come from there."""
    vectors_of = {
        digest.numpy().tobytes(): vector for index in indexes for digest, vector in zip(index.digests, index.vectors, strict=True)
    }
    digests, problems = dict[int, bytes](), dict[int, str]()
    for i in counted(numbers, "pictures hashed"):
        try:
            digests[i] = images.digest(i)
        except (ImageError, MissingExtraError) as error:
            problems[i] = str(error)
    new = list({digests[i]: i for i in reversed(digests) if digests[i] not in vectors_of}.values())[::-1]  # the first of equal ones
    computed, refused = compute({i: digests[i] for i in new})
    vectors_of |= computed
    problems |= {i: refused[digest] for i, digest in digests.items() if digest in refused}
    whole = [i for i in digests if i not in problems]
    return _Rows(
        paths=tuple(images.paths[i] for i in whole),
        digests=[digests[i] for i in whole],
        vectors=torch.stack([vectors_of[digests[i]] for i in whole]) if whole else torch.empty(0, network.dimension, dtype=torch.float16),
        skipped=tuple(problems[i] for i in sorted(problems)),
    )


def _in_batches(network: Embedder, crop: Crop, images: ImageSource, new: Mapping[int, bytes]) -> _Computed:
    """The vectors of the images `new` (number to digest), many at once, in this process."""
    vectors_of, refused, numbers = dict[bytes, torch.Tensor](), dict[bytes, str](), list(new)
    for start in counted(range(0, len(numbers), BATCH), "batches embedded"):
        batch = dict[bytes, torch.Tensor]()
        for i in numbers[start : start + BATCH]:
            try:
                pixels = images.pixels(i, channels=network.channels, size=network.size, crop=crop)
                batch[new[i]] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
            except (ImageError, MissingExtraError) as error:
                refused[new[i]] = str(error)
        if batch:
            vectors_of |= zip(batch, half(network.vectors(torch.stack(list(batch.values()))), network), strict=True)
    return vectors_of, refused


def _shared(task: Embedding, workers: Workers, folder: Path | None, images: ImageSource, new: Mapping[int, bytes]) -> _Computed:
    """The vectors of the images `new` (number to digest), each computed alone, by `workers`."""
    return shared_vectors(task, {images.paths[i]: digest for i, digest in new.items()}, workers, folder) if new else ({}, {})


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
