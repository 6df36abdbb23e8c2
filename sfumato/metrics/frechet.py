"""Fréchet distance between two sets of feature vectors, each taken for a Gaussian (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).

    |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½)                                          (6)

Only the last trace is hard. It is the sum of the singular values of AᵀB for any A, B with AAᵀ = S1 and BBᵀ = S2, and those are found
in float64 without the square root of a matrix:

    both covariances far from singular    A from Cholesky, then the roots of the eigenvalues of Aᵀ S2 A: the fastest
    one nearer to it                      A and B from Cholesky: a tiny singular value is kept, where the root of a tiny
                                          eigenvalue is lost in rounding (1e-16 becomes 1e-8)
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
"""Share of the largest eigenvalue above which the root of another is right to many digits."""
ROUNDING = 1e-13
"""Share of the largest eigenvalue (or pivot) below which another may be nothing but rounding."""


class Moments:
    """Mean and covariance of any number of vectors, a batch at a time.

    Held in float64 and always about the mean so far (Chan et al. 1979), so that a mean far from zero costs no accuracy.
    """

    def __init__(self, dimension: int, *, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, vectors: Vectors) -> "Moments":
        """The moments of one set. Raises DataError if a vector is not finite."""
        vectors = exact(vectors, least=0)
        return cls(vectors.shape[1], device=vectors.device).update(vectors)

    def update(self, vectors: Vectors) -> "Moments":
        """Takes in `vectors`. Raises DataError if one is not finite."""
        vectors = exact(vectors, least=0).to(self.mean.device)
        if len(vectors):
            mean = vectors.mean(dim=0)
            self._scatter.addmm_((vectors - mean).T, vectors - mean)
            self._shift(len(vectors), mean)
        return self

    def merge(self, other: "Moments") -> "Moments":
        """Takes in everything `other` has seen."""
        if other.count:
            self._scatter += other._scatter.to(self.mean.device)
            self._shift(other.count, other.mean.to(self.mean.device))
        return self

    @property
    def covariance(self) -> Matrix:
        """Unbiased covariance. Raises DataError for fewer than two vectors."""
        if self.count < 2:
            raise DataError(f"{self.count} feature vectors have no covariance; at least 2 are needed")
        return self._scatter / (self.count - 1)

    def _shift(self, count: int, mean: Vector) -> None:
        apart, total = mean - self.mean, self.count + count
        self._scatter.addr_(apart, apart, alpha=self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total


def frechet(real: Vectors, generated: Generated) -> float:
    """Fréchet distance, 0 or more, lower is better; any number of vectors from two up.

    It falls with the number of images, by about c / N: compare equal counts only. Raises DataError for fewer than two vectors or NaN.
    """
    return sum(frechet_parts(real, generated))


def frechet_parts(real: Vectors, generated: Generated) -> tuple[float, float]:
    """The two terms of the Fréchet distance: what the means contribute (a shift), and what the covariances do (spread and texture)."""
    real, generated = exact(real), exact(generated)
    if min(len(real), len(generated)) > real.shape[1]:
        return _parts(Moments.of(real), Moments.of(generated))
    a, b = _factor(real), _factor(generated)
    spread = a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a.T @ b).sum()
    return (real.mean(dim=0) - generated.mean(dim=0)).square().sum().item(), max(0.0, spread.item())


def frechet_from_moments(m1: Vector, s1: Matrix, m2: Vector, s2: Matrix) -> float:
    """Fréchet distance of two Gaussians from their means and covariances, which may be singular."""
    m1, s1, m2, s2 = (t.detach().double() for t in (m1, s1, m2, s2))
    return (m1 - m2).square().sum().item() + _spread(s1, s2)


def frechet_deletions(real: Vectors, generated: Generated, *, rng: torch.Generator, groups: int = GROUPS) -> list[float]:
    """The distance with each of `groups` random parts of the generated images left out in turn, for `interval.jackknife`."""
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
    """The Fréchet distance that ever more generated images would lead to (Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023).

    Intercept of a line through the distances at `sizes` numbers of images N, as a function of 1 / N, from a tenth of `generated` (but
    not below twice the dimension, where the line bends) to all of it. The real images are all used every time, so the bias of their
    number remains. May come out slightly below 0. Raises DataError for fewer generated images than four times the dimension,
    SettingError for fewer than three sizes.
    """
    generated, dimension = exact(generated), generated.shape[1]
    if sizes < 3:
        raise SettingError(f"sizes = {sizes} are too few for a line; take at least 3")
    if len(generated) < 4 * dimension:
        raise DataError(f"{len(generated)} generated images are too few to extrapolate in {dimension} dimensions; give {4 * dimension}")
    counts = torch.linspace(max(len(generated) // 10, 2 * dimension), len(generated), sizes).round().long().tolist()
    whole, distances = Moments.of(real), []
    for count in counts:
        chosen = torch.randperm(len(generated), generator=rng)[:count].to(generated.device)
        distances.append(sum(_parts(whole, Moments.of(generated[chosen]))))
    return linear_regression([1 / count for count in counts], distances).intercept


def _parts(first: Moments, second: Moments) -> tuple[float, float]:
    return (first.mean - second.mean).square().sum().item(), _spread(first.covariance, second.covariance)


def _spread(s1: Matrix, s2: Matrix) -> float:
    """tr(S1 + S2 - 2 (S1 S2)^½), never below 0."""
    return max(0.0, (s1.trace() + s2.trace() - 2 * _trace_of_root(s1, s2)).item())


def _trace_of_root(s1: Matrix, s2: Matrix) -> Float[Tensor, ""]:
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
    """The lower triangle of Fᵀ M F, for a lower triangular F: a third of the work, and all that `eigvalsh` reads."""
    product, block = torch.zeros_like(matrix), 256
    for start in range(0, len(matrix), block):
        rest = factor[start:, start:]
        product[start:, start : start + block] = rest.T @ (matrix[start:, start:] @ rest[:, :block])
    return product


def _cholesky(covariance: Matrix) -> tuple[Matrix, float]:
    """Its Cholesky factor, and the smallest pivot as a share of the largest: 0 if there is no factor."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    pivots = factor.diagonal().square()
    return factor, 0.0 if failed else (pivots.min() / pivots.max()).item()


def _root(covariance: Matrix) -> Float[Tensor, "d _rank"]:
    """R with R Rᵀ = `covariance`, without the directions in which there is only rounding."""
    eigenvalues, directions = torch.linalg.eigh(covariance)
    kept = eigenvalues > ROUNDING * eigenvalues[-1].clamp(min=0)
    return directions[:, kept] * eigenvalues[kept].sqrt()


def _factor(vectors: Vectors) -> Float[Tensor, "d _columns"]:
    """F with F Fᵀ = the unbiased covariance of `vectors`, and no more columns than need be."""
    centred = (vectors - vectors.mean(dim=0)) / (len(vectors) - 1) ** 0.5
    return (torch.linalg.qr(centred, mode="r").R if len(vectors) > vectors.shape[1] else centred).T
