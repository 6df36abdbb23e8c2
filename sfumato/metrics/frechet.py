"""Fréchet distance between the Gaussians of two sets of feature vectors (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).

    |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½)                                          (6)

The last trace is the sum of the singular values of AᵀB for any A, B with AAᵀ = S1 and BBᵀ = S2. They are computed in float64 without the
square root of a matrix:

    both covariances far from singular    A from Cholesky, then the roots of the eigenvalues of Aᵀ S2 A: the fastest
    one nearly singular                   A and B from Cholesky: tiny singular values stay exact. The root of a tiny
                                          eigenvalue would be wrong by rounding (1e-16 becomes 1e-8)
    one singular                          A and B from eigenvectors, without the directions that hold only rounding
    fewer vectors than dimensions         A and B are the centred vectors themselves: exact, and smaller
"""

from statistics import linear_regression

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import Vectors
from sfumato.metrics.base import Generated, Matrix, Vector, exact
from sfumato.metrics.interval import GROUPS, deal

ACCURATE = 1e-9
"""Share of the largest eigenvalue above which the root of a smaller one is exact to many digits."""
ROUNDING = 1e-13
"""Share of the largest eigenvalue (or pivot) below which a smaller one may be rounding alone."""


class Moments:
    """Mean and covariance of any number of vectors, which come in batches.

    Sums are float64 and taken about the mean of the vectors so far (Chan et al. 1979): a mean far from zero costs no accuracy.
    """

    def __init__(self, dimension: int, *, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, vectors: Vectors) -> "Moments":
        """The moments of one set of vectors. Raises DataError if a vector is not finite."""
        vectors = exact(vectors, least=0)
        return cls(vectors.shape[1], device=vectors.device).update(vectors)

    def update(self, vectors: Vectors) -> "Moments":
        """Adds `vectors`, and returns itself. Raises DataError if a vector is not finite."""
        vectors = exact(vectors, least=0).to(self.mean.device)
        if len(vectors):
            mean = vectors.mean(dim=0)
            self._scatter.addmm_((vectors - mean).T, vectors - mean)
            self._shift(len(vectors), mean)
        return self

    def merge(self, other: "Moments") -> "Moments":
        """Adds all vectors of `other`, and returns itself."""
        if other.count:
            self._scatter += other._scatter.to(self.mean.device)
            self._shift(other.count, other.mean.to(self.mean.device))
        return self

    @property
    def covariance(self) -> Matrix:
        """The unbiased covariance. Raises DataError for fewer than two vectors."""
        if self.count < 2:
            raise DataError(f"{self.count} feature vectors have no covariance; at least 2 are needed")
        return self._scatter / (self.count - 1)

    def _shift(self, count: int, mean: Vector) -> None:
        apart, total = mean - self.mean, self.count + count
        self._scatter.addr_(apart, apart, alpha=self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total


def frechet(real: Vectors, generated: Generated) -> float:
    """Fréchet distance, 0 or more; lower is better.

    The distance falls with the number N of images, by about c / N: compare equal numbers only. Raises DataError for fewer than two
    vectors in a set, and for NaN.
    """
    return sum(frechet_parts(real, generated))


def frechet_parts(real: Vectors, generated: Generated) -> tuple[float, float]:
    """The two terms of the Fréchet distance: that of the means (a shift), and that of the covariances (spread and texture)."""
    real, generated = exact(real), exact(generated)
    if min(len(real), len(generated)) > real.shape[1]:
        return _parts(Moments.of(real), Moments.of(generated))
    a, b = _factor(real), _factor(generated)
    spread = a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a.T @ b).sum()
    return (real.mean(dim=0) - generated.mean(dim=0)).square().sum().item(), max(0.0, spread.item())


def frechet_from_moments(m1: Vector, s1: Matrix, m2: Vector, s2: Matrix) -> float:
    """Fréchet distance of two Gaussians from their means and covariances; the covariances may be singular."""
    m1, s1, m2, s2 = (t.detach().double() for t in (m1, s1, m2, s2))
    return (m1 - m2).square().sum().item() + _spread(s1, s2)


def frechet_deletions(real: Vectors, generated: Generated, *, rng: torch.Generator, groups: int = GROUPS) -> list[float]:
    """The distances without one of `groups` random parts of the generated images, each in turn, for `interval.jackknife`."""
    dealt = deal(exact(generated, least=2 * groups), rng=rng, groups=groups)
    if min(len(real), len(generated) - len(dealt[0])) <= real.shape[1]:
        return [frechet(real, torch.cat(dealt[:i] + dealt[i + 1 :])) for i in range(groups)]
    whole, parts, distances = Moments.of(real), [Moments.of(part) for part in dealt], []
    for left_out in parts:
        rest = Moments(real.shape[1], device=whole.mean.device)
        for part in parts:
            if part is not left_out:
                rest.merge(part)
        distances.append(sum(_parts(whole, rest)))
    return distances


def frechet_infinity(real: Vectors, generated: Generated, *, rng: torch.Generator, sizes: int = 15) -> float:
    """The Fréchet distance in the limit of infinitely many generated images (Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023).

    Intercept of a line through the distances at `sizes` numbers N of images, as a function of 1 / N. N goes from a tenth of `generated`
    (at least twice the dimension, below which the distances leave the line) to all of it. All real images are used at every N, so the
    bias from their number remains. The result may be slightly below 0. Raises DataError for fewer generated images than four times the
    dimension, SettingError for fewer than three sizes.
    """
    generated, dimension = exact(generated), generated.shape[1]
    if sizes < 3:
        raise SettingError(f"sizes = {sizes} is too small for a line; give at least 3")
    if len(generated) < 4 * dimension:
        raise DataError(f"{len(generated)} generated images are too few to extrapolate in {dimension} dimensions; give {4 * dimension}")
    counts = torch.linspace(max(len(generated) // 10, 2 * dimension), len(generated), sizes).round().long().tolist()
    whole, distances = Moments.of(real), []
    for count in counts:
        chosen = torch.randperm(len(generated), generator=rng)[:count].to(generated.device)
        distances.append(sum(_parts(whole, Moments.of(generated[chosen]))))
    return linear_regression([1 / count for count in counts], distances).intercept


def _parts(first: Moments, second: Moments) -> tuple[float, float]:
    """The terms of the means and of the covariances."""
    return (first.mean - second.mean).square().sum().item(), _spread(first.covariance, second.covariance)


def _spread(s1: Matrix, s2: Matrix) -> float:
    """tr(S1 + S2 - 2 (S1 S2)^½), never below 0."""
    return max(0.0, (s1.trace() + s2.trace() - 2 * _trace_of_root(s1, s2)).item())


def _trace_of_root(s1: Matrix, s2: Matrix) -> Float[Tensor, ""]:
    """The trace of (S1 S2)^½, by the way that keeps most digits (see above)."""
    a, first = _cholesky(s1)
    if first**2 > ACCURATE:
        eigenvalues = torch.linalg.eigvalsh(_lower(a, s2))
        if eigenvalues[0] > ACCURATE * eigenvalues[-1]:
            return eigenvalues.sqrt().sum()
    b, second = _cholesky(s2)
    if min(first, second) <= ROUNDING:
        a, b = _root(s1), _root(s2)
    return torch.linalg.svdvals(a.T @ b).sum()


def _lower(factor: Matrix, matrix: Matrix) -> Matrix:
    """The lower triangle of Fᵀ M F for a lower triangular F. It takes a third of the work, and `eigvalsh` reads nothing else."""
    product, block = torch.zeros_like(matrix), 256
    for start in range(0, len(matrix), block):
        rest = factor[start:, start:]
        product[start:, start : start + block] = rest.T @ (matrix[start:, start:] @ rest[:, :block])
    return product


def _cholesky(covariance: Matrix) -> tuple[Matrix, float]:
    """The Cholesky factor, and the smallest pivot as a share of the largest: 0 if there is no factor."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    pivots = factor.diagonal().square()
    return factor, 0.0 if failed else (pivots.min() / pivots.max()).item()


def _root(covariance: Matrix) -> Float[Tensor, "d _rank"]:
    """R with R Rᵀ = `covariance`, without the directions that hold only rounding."""
    eigenvalues, directions = torch.linalg.eigh(covariance)
    kept = eigenvalues > ROUNDING * eigenvalues[-1].clamp(min=0)
    return directions[:, kept] * eigenvalues[kept].sqrt()


def _factor(vectors: Vectors) -> Float[Tensor, "d _columns"]:
    """F with F Fᵀ = the unbiased covariance of `vectors`, with at most as many columns as vectors or dimensions."""
    centred = (vectors - vectors.mean(dim=0)) / (len(vectors) - 1) ** 0.5
    return (torch.linalg.qr(centred, mode="r").R if len(vectors) > vectors.shape[1] else centred).T
