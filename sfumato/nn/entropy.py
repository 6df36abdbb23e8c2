"""Probabilities of whole numbers: Gaussian ones of known mean and scale, a learned one for each channel, and both as integer tables.

    y ─ + noise ─┬─ gaussian_bits(mean, scale)         bits while training, differentiable
    z ─ + noise ─┴─ FactorisedDensity.bits
    scale ─ table of the nearest scale ─ frequencies of 2^16 ─ entropy coder

Ballé et al. 2018, https://arxiv.org/abs/1802.01436; Minnen et al. 2018, https://arxiv.org/abs/1809.02736. A coder must not compute a
probability from floating-point numbers: another machine rounds them in another way. So tables are computed once and stored.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.tensors import Maps
from sfumato.nn.autograd import Context, Gradients

Values = Float[Tensor, "..."]

PRECISION = 16
"""Frequencies of a table add up to 2^16."""
SCALES = 64
"""Number of scales that have a table."""
SMALLEST, LARGEST = 0.11, 64.0
"""Smallest and largest scale with a table."""
STEP = math.log(LARGEST / SMALLEST) / (SCALES - 1)
"""Ratio of neighbouring scales, as a logarithm."""
REACH = 255
"""Largest size of a number that a table of a Gaussian can have; larger ones, and those beyond 6 scales, are escaped."""
HYPER_REACH = 63
"""Largest size of a number that a table of a channel has."""
_FLOOR = 1e-9


def straight_round(x: Values) -> Values:
    """`x` rounded to whole numbers, with the gradient of `x` itself."""
    return x + (x.round() - x).detach()


class _Held(torch.autograd.Function):
    """Numbers moved into a range. Outside of it the gradient goes on if it leads back, and is 0 if it leads further away.

    With the gradient everywhere, the scale of a channel that is 0 everywhere would fall without end, and take that of others with it.
    """

    @staticmethod
    def forward(ctx: Context, x: Values, low: float, high: float) -> Values:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Gradients:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        back = ((x >= ctx.low) | (gradient < 0)) & ((x <= ctx.high) | (gradient > 0))
        return gradient * back, None, None


def scale_of(index: Values) -> Values:
    """The scale at a place between 0 and SCALES - 1 of the row of scales; places outside are moved to its ends."""
    return (math.log(SMALLEST) + STEP * _Held.apply(index, 0.0, SCALES - 1.0)).exp()


def gaussian_bits(distance: Values, scale: Values) -> Values:
    """Bits of numbers at a `distance` from the mean of Gaussians of that `scale`, each of a bin of width 1."""
    distance = distance.abs()
    above = torch.special.ndtr((0.5 - distance) / scale)
    below = torch.special.ndtr((-0.5 - distance) / scale)
    return -_at_least(above - below, _FLOOR).log2()


class FactorisedDensity(nn.Module):
    """A density for each channel: its distribution function is a small network, increasing by construction.

    Ballé et al. 2018, https://arxiv.org/abs/1802.01436, appendix 6.1.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (3, 3, 3), spread: float = 10.0) -> None:
        super().__init__()
        sizes = (1, *widths, 1)
        start = spread ** (1 / (len(widths) + 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            self.matrices.append(nn.Parameter(torch.full((channels, after, before), math.log(math.expm1(1 / start / after)))))
            self.biases.append(nn.Parameter(torch.rand(channels, after, 1) - 0.5))
        for width in widths:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))

    def bits(self, z: Maps) -> Maps:
        """Bits of each number, of a bin of width 1 around it."""
        flat = z.transpose(0, 1).flatten(1)[:, None]
        upper, lower = self._logits(flat + 0.5), self._logits(flat - 0.5)
        # Near 1 a difference of distribution functions has no digits left: both are mirrored to below 0.5.
        sign = -(upper + lower).sign().detach()
        mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
        bits = -_at_least(mass, _FLOOR).log2()
        return bits.reshape(z.shape[1], len(z), *z.shape[2:]).transpose(0, 1)

    def _logits(self, x: Float[Tensor, "c 1 k"]) -> Float[Tensor, "c 1 k"]:
        for i, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = F.softplus(matrix) @ x + bias
            if i < len(self.factors):
                x = x + torch.tanh(self.factors[i]) * torch.tanh(x)
        return x

    @torch.no_grad()
    def table(self, reach: int = HYPER_REACH) -> Int64[Tensor, "c symbols"]:
        """Frequencies of the numbers from -`reach` to `reach` of each channel, which add up to 2^16."""
        points = torch.arange(-reach, reach + 1, dtype=torch.float32, device=self.biases[0].device)
        z = points.expand(len(self.biases[0]), -1)[None, :, :, None]
        return torch.stack([frequencies(each) for each in 2.0 ** -self.bits(z)[0, :, :, 0].double()])


def gaussian_tables() -> Int64[Tensor, "scales symbols"]:
    """Frequencies, for each scale, of the numbers from -REACH to REACH and of the escape for all others, which add up to 2^16.

    Numbers beyond 6 scales have the frequency 0 and must be escaped.
    """
    with torch.device("cpu"):  # also while a network without memory is built
        edges = torch.arange(-REACH, REACH + 2, dtype=torch.float64) - 0.5
        numbers = torch.arange(-REACH, REACH + 1)
        rows = []
        for index in range(SCALES):
            scale = SMALLEST * math.exp(STEP * index)
            mass = torch.special.ndtr(edges / scale).diff()
            mass = torch.where(numbers.abs() <= math.ceil(6 * scale), (mass + mass.flip(0)) / 2, 0)
            rest = (1 - mass.sum()).clamp_min(_FLOOR)
            rows.append(frequencies(torch.cat([mass, rest[None]])))
        return torch.stack(rows)


def frequencies(mass: Float[Tensor, " symbols"]) -> Int64[Tensor, " symbols"]:
    """Whole frequencies near the probabilities `mass`, which add up to 2^16: at least 1 where the probability is above 0, else 0."""
    total, possible = 1 << PRECISION, mass > 0
    share = mass.double() / mass.double().sum()
    wanted = share * (total - int(possible.sum()))
    result = possible + wanted.floor().long()
    # What rounding down leaves goes to the largest remainders; of equal ones to the first, so that every machine has the same table.
    remainders = (wanted - wanted.floor()).argsort(descending=True, stable=True)
    result[remainders[: total - int(result.sum())]] += 1
    return result


def _at_least(x: Tensor, low: float) -> Tensor:
    """`x`, or `low` where it is less; the gradient is that of `x` everywhere, so that the impossible becomes likely again."""
    return x + (x.clamp_min(low) - x).detach()
