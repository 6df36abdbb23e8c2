"""Nearest neighbours among many vectors: exact in blocks, or by faiss where both vectors and queries are many.

The similarity of two vectors is the cosine of the angle between them, seen from the mean of the index: 1 for one direction, 0 for
unrelated images, -1 for opposite ones.
"""

import importlib
import importlib.util
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.extras import missing
from sfumato.core.progress import counted
from sfumato.core.tensors import Vectors

Method = Literal["auto", "exact", "faiss"]
Queries = Float[Tensor, "m d"]

BLOCK = 1 << 24
"""Similarities in memory at the same time: 64 MB."""
MANY_VECTORS, MANY_QUERIES = 100_000, 1_000
"""From these numbers on, `auto` takes faiss if it is installed: building its index takes as long as many exact queries."""
RECALL = 0.985
"""Share of the true neighbours that faiss must give for `_TRIALS` vectors of the index."""
_TRIALS = 200


class Neighbours(NamedTuple):
    """The nearest vectors of each query, nearest first."""

    similarities: Float[Tensor, "m k"]
    indices: Int64[Tensor, "m k"]


def directions_from(mean: Vectors, vectors: Queries) -> Queries:
    """The vectors, seen from the mean, as unit vectors."""
    return F.normalize(vectors.float() - mean, dim=1)


def nearest(unit: Vectors, queries: Queries, k: int, *, method: Method = "auto") -> Neighbours:
    """The `k` rows of `unit` that are most similar to each query; both hold unit vectors.

    `auto` is exact unless there are more than 100,000 vectors and at least 1,000 queries, and faiss is installed. faiss gives at least
    98 % of the true neighbours: the number of cells that it searches is raised until it does for 200 vectors of the index. Raises
    SettingError unless 1 <= `k` <= n, MissingExtraError for `faiss` without that package.
    """
    if not 1 <= k <= len(unit):
        raise SettingError(f"k = {k} is outside [1, {len(unit)}], the number of pictures in the index")
    installed = importlib.util.find_spec("faiss") is not None
    if method == "faiss" and not installed:
        raise missing("approximate search needs", "faiss")
    many = len(unit) > MANY_VECTORS and len(queries) >= MANY_QUERIES
    return _by_faiss(unit, queries, k) if method == "faiss" or (method == "auto" and many and installed) else _exact(unit, queries, k)


def _exact(unit: Vectors, queries: Queries, k: int) -> Neighbours:
    similarities, indices = [queries.new_zeros(0, k)], [torch.zeros(0, k, dtype=torch.int64)]
    for rows in counted(queries.split(max(1, BLOCK // len(unit))), "blocks compared"):
        best = (rows @ unit.T).topk(k, dim=1)
        similarities.append(best.values)
        indices.append(best.indices)
    return Neighbours(torch.cat(similarities), torch.cat(indices))


def _by_faiss(unit: Vectors, queries: Queries, k: int) -> Neighbours:
    """The neighbours that an inverted file gives: vectors in cells around `cells` centres, of which the nearest are searched."""
    faiss = importlib.import_module("faiss")
    cells = min(len(unit) // 39, 1 << round(len(unit) ** 0.5).bit_length())  # faiss wants 39 vectors a cell to place the centres
    points = unit.numpy()
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(unit.shape[1]), unit.shape[1], max(1, cells), faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = 64
    index.train(points)
    index.add(points)
    trial = unit[:: max(1, len(unit) // _TRIALS)][:_TRIALS]
    true = _exact(unit, trial, k).indices
    index.nprobe = 1
    while index.nprobe < cells and _recall(torch.from_numpy(index.search(trial.numpy(), k)[1]), true) < RECALL:
        index.nprobe = min(cells, 2 * index.nprobe)
    similarities, indices = index.search(queries.contiguous().numpy(), k)
    return Neighbours(torch.from_numpy(similarities), torch.from_numpy(indices))


def _recall(given: Int64[Tensor, "m k"], true: Int64[Tensor, "m k"]) -> float:
    """Share of the true neighbours among those given."""
    return (given[:, :, None] == true[:, None, :]).any(dim=1).double().mean().item()
