"""The standard normal distribution in float64: probabilities of numbers, and numbers of probabilities.

PyTorch has both functions. ONNX has neither in float64: a graph that is exported computes them from a series and by Newton's method.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

TERMS = 80
"""Terms of the series: enough for 15 digits at 6 standard deviations."""
STEPS = 5
"""Steps of Newton's method; each doubles the number of right digits, of which the first guess has two."""

Numbers = Float64[Tensor, " n"]


def cumulative(x: Numbers) -> Numbers:
    """The probability that a standard normal number is below `x`."""
    return _cumulative_by_series(x) if torch.compiler.is_exporting() else torch.special.ndtr(x)


def quantile(p: Numbers) -> Numbers:
    """The number below which a standard normal number lies with probability `p`, in [1e-9, 1 - 1e-9]."""
    return _quantile_by_newton(p) if torch.compiler.is_exporting() else torch.special.ndtri(p)


def _density(x: Numbers) -> Numbers:
    return (-x.square() / 2).exp() / math.sqrt(2 * math.pi)


def _cumulative_by_series(x: Numbers) -> Numbers:
    """1/2 + density(x) (x + x^3 / 3 + x^5 / (3 * 5) + ...), whose terms have one sign; beyond 7 deviations it is 0 or 1."""
    inside, n = x.clamp(-7, 7), torch.arange(1, TERMS, dtype=torch.float64)
    products = (2 * n + 1).log().cumsum(0)
    terms = (inside.square().log()[:, None] * n - products).exp()
    return (0.5 + _density(inside) * inside * (1 + terms.sum(dim=1))).clamp(0, 1)


def _quantile_by_newton(p: Numbers) -> Numbers:
    """Newton's method on `_cumulative_by_series`, from Winitzki's approximation of the inverse error function (2008)."""
    log = (4 * p * (1 - p)).log()
    half = 2 / (math.pi * 0.147) + log / 2
    x = (2 * p - 1).sign() * ((half.square() - log / 0.147).sqrt() - half).sqrt() * math.sqrt(2)
    for _ in range(STEPS):
        x = x - (_cumulative_by_series(x) - p) / _density(x)
    return x
