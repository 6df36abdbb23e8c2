"""More like these: the seeds of a generator whose images come nearest to the pictures of an index, such as of one group."""

from pathlib import Path

import torch

from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.core.tensors import PerImage, Vectors
from sfumato.embeddings.index import Index, load_index
from sfumato.embeddings.opening import index_embedder
from sfumato.embeddings.search import prepared
from sfumato.generation.generate import generate, opened_generator
from sfumato.store.loaded import Model

TRIES = 16
"""Seeds that are tried for each image that is kept."""
NEAREST = 5
"""Pictures of the index whose distances to an image are averaged."""
_PART = 256


def seeds_like(
    index: Index | str | Path,
    generator: Model,
    n: int = 16,
    *,
    seed: int = 0,
    tries: int = TRIES,
    label: str | int | None = None,
    truncation: float = 1.0,
    model: Model | None = None,
    device: str = "auto",
) -> list[int]:
    """The `n` seeds, of `n` x `tries` from `seed` on, whose images are most like the pictures of `index`, the most alike first.

    The measure is the mean distance of the image's vector, in the model of the index, to those of its 5 nearest pictures. `label` and
    `truncation` are as in `generate`, `model` as in `search`. Raises SettingError for `n` or `tries` below 1 and as these two,
    CheckpointError for a file that is no index.
    """
    if n < 1 or tries < 1:
        raise SettingError(f"n = {n} images of n x {tries} tries cannot be generated; both must be at least 1")
    opened = load_index(index) if isinstance(index, str | Path) else index
    source, network = opened_generator(generator), index_embedder(opened, model, device=device)
    members, distances = opened.vectors.float(), list[PerImage]()
    candidates = range(seed, seed + n * tries)
    for start in counted(range(0, len(candidates), _PART), "parts of the seeds tried"):
        part = candidates[start : start + _PART]
        images = generate(source, seeds=part, label=label, truncation=truncation, device=device).as_subclass(torch.Tensor)
        distances.append(_distance(network.vectors(prepared(images, opened, network)), members))
    nearest = torch.cat(distances).argsort(stable=True)[:n]
    return [candidates[i] for i in nearest.tolist()]


def _distance(vectors: Vectors, members: torch.Tensor) -> PerImage:
    """The mean distance of each vector to the nearest members."""
    return torch.cdist(vectors, members).topk(min(NEAREST, len(members)), dim=1, largest=False).values.mean(dim=1)
