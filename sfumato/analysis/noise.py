"""Standard deviation of the noise of a picture, from the picture alone.

Patches without texture differ by noise alone, equally in every direction of the space of patches; texture adds to a few directions only.
So the small eigenvalues of the covariance of patches are the variance of the noise (Chen, Zhu & Heng 2015,
https://doi.org/10.1109/ICCV.2015.62). The estimate is better if patches with more gradient than such noise explains are left out, which is
repeated with each new estimate (Liu, Tanaka & Okutomi 2013, https://doi.org/10.1109/TIP.2013.2283400).
"""

import bisect
import functools
import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images
from sfumato.nn.running import over_rectangles

Patches = Float[Tensor, "_m _p"]

_SIDES = (7, 5, 3)
"""Sides of patches, in pixels; the first with enough patches without clipped pixels is used."""
_LEAST, _MOST, _ROUGH = 500, 20_000, 5_000
"""Fewest and most patches of a channel for an estimate, and enough of them for one of strong noise, within 2 %."""
_ROUNDS = 4
_UNEVEN = 1.5
"""Greatest ratio of the mean of the small eigenvalues to the least one for white noise."""
_FEW, _EVEN = 0.05, 0.05
"""Shares of patches that are not clipped, and of squares of 3 x 3 pixels of one value: a picture with fewer of the first and more of the
second is a drawing, whose patches differ by edges."""
_LOUD = 0.25
"""Stronger noise on paper is salt and pepper."""
_CLIPPED = 1.5 / 255
"""Values within this of black or white may have been clipped, and do not count."""
_LOUDLY, _ALIKE, _FLATTEST = 10 / 255, (0.8, 1.25), 0.3
"""Least level of white noise that is plain, limits of the ratio of its level at half the size to that, and share of the squares in which
it is measured. No sharp photograph and no noisy one of a camera is within these limits (BSDS500, BSD68, Set12, PolyU)."""
_SQUARE = 16
"""Side in pixels of the squares of `plain_white_noise`."""


@torch.no_grad()
def noise_level(crops: Images) -> float | None:
    """Standard deviation of white noise as a share of full scale, the mean over channels; `crops` are of one picture.

    Of noise that is correlated between pixels (in an enlarged scan, in a JPEG) the estimate holds only the least part. 0 for a picture of
    one colour; None if too few pixels are neither black nor white, as in a drawing on white paper.
    """
    if all(channel.amin() == channel.amax() for channel in crops.unbind(1)):
        return 0.0
    levels = [level for channel in crops.unbind(1) if (level := _channel(channel, _MOST)) is not None]
    return sum(levels) / len(levels) if levels else None


@torch.no_grad()
def plain_white_noise(crops: Images) -> tuple[float, ...] | None:
    """Standard deviation in each channel of white noise so strong that nothing else looks like it, as a share of full scale.

    None of any other picture.

    White noise is as strong in the differences of single pixels as in those of means of 2 x 2, by the scale of an orthonormal transform
    (Haar's), whatever their direction. Details, and noise whose neighbours are alike, are stronger in the latter. `crops` are of one
    picture.
    """
    half, fine = _differences(crops)
    if min(half.shape[2:]) < _SQUARE // 2:
        return None
    _, coarse = _differences(2 * half)
    squares, powers = _powers(fine, _SQUARE // 2), _powers(coarse, _SQUARE // 4)
    total = powers.sum(dim=0)
    flat = total <= total.quantile(_FLATTEST)
    level, above = (part[:, flat].median(dim=1).values.sqrt() for part in (squares, powers))
    low, high = _ALIKE
    plain = level.amin() >= _LOUDLY and bool(((above >= low * level) & (above <= high * level)).all())
    return tuple(level.unflatten(0, (3, -1)).mean(dim=0).tolist()) if plain else None


@torch.no_grad()
def plain_noise_level(crops: Images, levels: tuple[float, ...]) -> float | None:
    """`noise_level` of a picture that has `levels` of plain white noise, in a fifth of the time.

    One channel is estimated, and the others in proportion: texture adds to the levels, and little to an estimate from patches.
    """
    middle = len(levels) // 2
    one = _channel(crops[:, middle], _ROUGH)
    return noise_level(crops) if one is None else one * sum(levels) / len(levels) / levels[middle]


def _differences(x: Images) -> tuple[Float[Tensor, "n c _h _w"], Float[Tensor, "3 n c _h _w"]]:
    """Means of 2 x 2 pixels, and their differences in three directions, which have the standard deviation of white noise in `x`."""
    x = x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return (a + b + c + d) / 4, torch.stack([a - b + c - d, a + b - c - d, a - b - c + d]) / 2


def _powers(differences: Float[Tensor, "3 n c h w"], side: int) -> Float[Tensor, "d _m"]:
    """Mean squares in squares of `side` x `side`, one row for each direction and channel."""
    rows = F.avg_pool2d(differences.square().flatten(0, 2), side).flatten(1)
    return rows.unflatten(0, differences.shape[:3]).transpose(1, 2).flatten(2).flatten(0, 1)


def _channel(crops: Float[Tensor, "n h w"], most: int) -> float | None:
    """The estimate for one channel, from so many patches at most."""
    clipped = ((crops < _CLIPPED) | (crops > 1 - _CLIPPED))[:, None]
    if 1 - over_rectangles(clipped, 3, 3, torch.bitwise_or).float().mean() < _FEW:
        if _even(crops) > _EVEN:
            return None
        if (level := _of_paper(crops)) is not None:
            return level
    for side in _SIDES:
        if min(crops.shape[1:]) < side:
            continue
        windows = crops.unfold(1, side, 1).unfold(2, side, 1)
        chosen = (~over_rectangles(clipped, side, side, torch.bitwise_or)).flatten().nonzero()[:, 0]
        if len(chosen) > most:
            # Equal steps might coincide with the columns of the picture: steps by the golden ratio do not.
            chosen = chosen[((torch.arange(most, dtype=torch.float64) * 0.6180339887498949) % 1 * len(chosen)).long()]
        if len(chosen) >= _LEAST:
            count, tall, wide = windows.shape[:3]
            where = (chosen // (tall * wide), chosen // wide % tall, chosen % wide)
            whole = len(chosen) == count * tall * wide
            patches = windows.reshape(-1, side * side) if whole else windows[where].reshape(-1, side * side)
            return _of(patches, _gradient(crops, side).flatten()[chosen], side)
    return None


def _gradient(crops: Float[Tensor, "n h w"], side: int) -> Float[Tensor, "n _h _w"]:
    """For each patch of `side` x `side` the sum of the squared differences between its neighbouring pixels."""
    down, right = crops.diff(dim=1).square()[:, None], crops.diff(dim=2).square()[:, None]
    return (over_rectangles(down, side - 1, side) + over_rectangles(right, side, side - 1))[:, 0]


def _of_paper(crops: Float[Tensor, "n h w"]) -> float | None:
    """The standard deviation of noise on white or black, of which half is clipped: the other half has the mean sigma / sqrt(2 pi).

    None if the picture shows no paper.
    """
    means, peaks = [], []
    for away in (1 - crops[:, None], crops[:, None]):
        cut = F.avg_pool2d((away < 0.5 / 255).float(), _SIDES[0], stride=1)
        paper = (cut > 0.35) & (cut < 0.65)
        means.append(F.avg_pool2d(away, _SIDES[0], stride=1)[paper])
        peaks.append(F.max_pool2d(away, _SIDES[0], stride=1)[paper])
    mean, peak = torch.cat(means), torch.cat(peaks)
    if len(mean) < _LEAST:
        return None
    level = mean.sort().values[len(mean) // 10].item() * math.sqrt(2 * math.pi)
    for _ in range(_ROUNDS):
        alone = mean[peak < 4.5 * level]  # squares without a letter
        level = (alone.mean().item() if len(alone) else mean.min().item()) * math.sqrt(2 * math.pi)
    return level if level < _LOUD else None


def _even(crops: Float[Tensor, "n h w"]) -> float:
    """Share of the squares of 3 x 3 pixels that are all one value."""
    x = crops[:, None]
    same = over_rectangles(x, 3, 3, torch.maximum) == over_rectangles(x, 3, 3, torch.minimum)
    return same.float().mean().item()


def _of(patches: Patches, gradient: Float[Tensor, " _m"], side: int) -> float:
    """The standard deviation of noise in patches of `side` x `side` pixels with the given `gradient`."""
    bound = _bound(side)
    patches = patches - patches.mean()
    variance, before = max(0.0, torch.linalg.eigvalsh(_covariance(patches))[0].item()), -1.0
    for _ in range(_ROUNDS):
        flat = (gradient <= bound * variance).nonzero()[:, 0]
        if len(flat) < 4 * side * side or variance == before:
            break
        before = variance
        eigenvalues = torch.linalg.eigvalsh(_covariance(patches.index_select(0, flat))).clamp_min(0)
        least, variance = eigenvalues[0].item(), _white(eigenvalues)
        # A mean far above the least eigenvalue holds texture in every direction: the truth lies between them.
        if variance > _UNEVEN * least:
            variance = math.sqrt(variance * least)
    return math.sqrt(variance)


def _covariance(patches: Patches) -> Float64[Tensor, "_p _p"]:
    """The covariance of the pixels of patches, whose values lie about 0: the mean is subtracted last, from the small matrix."""
    count, mean = len(patches), patches.mean(dim=0).double()
    return ((patches.T @ patches).double() - count * mean[:, None] * mean) / (count - 1)


def _white(eigenvalues: Float[Tensor, " _p"]) -> float:
    """The mean of the eigenvalues (ascending) after the largest are dropped until mean and median agree (Chen et al., algorithm 1)."""
    values = eigenvalues.tolist()
    for count in range(len(values), 1, -1):
        mean = math.fsum(values[:count]) / count
        below, up_to = bisect.bisect_left(values, mean, 0, count), bisect.bisect_right(values, mean, 0, count)
        if count - up_to >= below:
            return mean
    return values[0]


@functools.cache
def _bound(side: int) -> float:
    """The 99 % quantile of the sum of squared differences between neighbours in patches of unit noise.

    The sum is nearly gamma distributed with the mean and variance of the quadratic form; its quantile is Wilson and Hilferty's (1931).
    """
    pixels = torch.eye(side * side).reshape(-1, side, side)
    differences = torch.cat([pixels.diff(dim=1).flatten(1), pixels.diff(dim=2).flatten(1)], dim=1)
    form = differences @ differences.T
    mean, variance = form.trace().item(), 2 * form.square().sum().item()
    ninth = variance / (9 * mean**2)
    return mean * (1 - ninth + 2.326 * math.sqrt(ninth)) ** 3
