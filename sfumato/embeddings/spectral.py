"""Groups of vectors that hang together, though they may have any shape: a graph of neighbours, its eigenvectors, k-means.

    vectors ─ nearest neighbours ─ fuzzy weights ─ eigenvectors of the normalised graph ─ weights of a diffusion ─ unit length

The weights of the neighbours are those of UMAP (McInnes et al. 2018, https://arxiv.org/abs/1802.03426, section 3.1): exp(-(d - d1) / s)
with the distance d1 of the nearest one, and s such that the weights of a vector sum to log2 k; both directions are joined as a
probabilistic or. The eigenvectors become coordinates as in Ng et al. 2001, and each is multiplied with a power of its eigenvalue, as in a
diffusion map (Coifman & Lafon 2006): coordinates beyond the number of groups then count gradually less.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import DataError
from sfumato.core.extras import missing
from sfumato.core.tensors import Vectors
from sfumato.embeddings.nearest import Neighbours, nearest

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS = 10
"""Neighbours of each vector in the graph."""
SMALL = 1000
"""Up to so many vectors all eigenvectors are computed: the iteration for a few may miss some where the graph falls apart."""
_HALVINGS = 40
_LAST_WEIGHT = 0.6
"""Weight of the first coordinate beyond the number of groups."""
Coordinates = Float[np.ndarray, "n _m"]


def check_installed() -> None:
    """Raises MissingExtraError if scikit-learn, which brings SciPy, is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise missing("groups need", "scikit-learn") from error


class Spectrum:
    """The eigenvectors of the graph of neighbours of some vectors, from which coordinates for any number of groups are made."""

    def __init__(self, unit: Vectors, *, most: int, seed: int = 0) -> None:
        """For unit vectors, and up to `most` groups. Raises DataError for fewer than 4 vectors, MissingExtraError."""
        check_installed()
        if len(unit) < 4:
            raise DataError(f"{len(unit)} pictures are too few for groups; 4 are the least")
        count = min(2 * most, len(unit) - 2)
        self.values, self.vectors = _eigenvectors(graph(unit), count, seed)

    def coordinates(self, groups: int) -> Coordinates:
        """A row of unit length for each vector, in which `groups` groups lie apart."""
        count = min(2 * groups, len(self.values))
        beyond = float(self.values[min(groups, count - 1)].clip(1e-6, 1 - 1e-9))
        weighted = self.vectors[:, :count] * self.values[:count].clip(0) ** (math.log(_LAST_WEIGHT) / math.log(beyond))
        return weighted / np.linalg.norm(weighted, axis=1, keepdims=True).clip(1e-12)


def graph(unit: Vectors) -> "csr_matrix":
    """The symmetric matrix of fuzzy weights in [0, 1] between vectors and their nearest neighbours."""
    from scipy.sparse import csr_matrix

    n, k = len(unit), min(NEIGHBOURS, len(unit) - 1)
    neighbours = nearest(unit, unit, k + 1)
    weights, columns = _fuzzy(neighbours, k)
    rows = np.repeat(np.arange(n), k)
    directed = csr_matrix((weights.flatten().numpy(), (rows, columns.flatten().numpy())), shape=(n, n))
    back = directed.T.tocsr()
    return csr_matrix(directed + back - directed.multiply(back))


def _fuzzy(neighbours: Neighbours, k: int) -> tuple[Tensor, Tensor]:
    """Weight and number of the `k` neighbours of each vector, without the vector itself, by their distances on the sphere."""
    own = torch.arange(len(neighbours.indices))[:, None]
    # Of equal vectors another one may come first; then the last neighbour is left out instead.
    is_other = neighbours.indices != own
    is_other[:, -1] &= ~is_other.all(dim=1)
    indices = neighbours.indices[is_other].reshape(-1, k)
    distances = (2 - 2 * neighbours.similarities[is_other].reshape(-1, k)).clamp_min(0).sqrt()
    excess = distances - distances[:, :1]
    low, high = torch.full((len(excess), 1), 1e-4), torch.full((len(excess), 1), 1e3)
    for _ in range(_HALVINGS):
        scale = (low * high).sqrt()
        too_wide = (-excess / scale).exp().sum(dim=1, keepdim=True) > math.log2(max(k, 2))
        low, high = torch.where(too_wide, low, scale), torch.where(too_wide, scale, high)
    return (-excess / high).exp().clamp_min(1e-6), indices


def _eigenvectors(matrix: "csr_matrix", count: int, seed: int) -> tuple[Float[np.ndarray, " m"], Coordinates]:
    """The largest eigenvalues of the graph, each row and column divided by the roots of their sums, and the eigenvectors as columns."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import eigsh

    roots = diags(1 / np.sqrt(np.asarray(matrix.sum(axis=1)).ravel().clip(1e-12)))
    scaled = (roots @ matrix @ roots).astype(np.float64)
    if len(roots.diagonal()) <= SMALL:
        values, vectors = np.linalg.eigh(scaled.toarray())
        return values[::-1][:count], vectors[:, ::-1][:, :count]
    start = np.random.default_rng(seed).standard_normal(scaled.shape[0])
    values, vectors = eigsh(scaled, k=count, which="LA", tol=1e-4, v0=start)  # pyright: ignore[reportArgumentType] - the stubs take the default 0 for an int
    order = np.argsort(-values)
    return values[order], vectors[:, order]
