"""The search for the network and the grids of one picture: gradient steps from a pyramid of differences on.

    total = bits / pixels + weight(quality) * error (see `distortion.py`)

In the place of rounding there is noise through a soft rounding, and both harden as the search goes on (Kim et al. 2024,
https://arxiv.org/abs/2312.02753, section 3.3; soft rounding: Agustsson & Theis 2020, https://arxiv.org/abs/2006.09952); the last steps
round. Then the weights of the networks are rounded, each group to as many binary digits as bring the least total.
"""

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfumato.compression import pyramid
from sfumato.compression.distortion import Tune, distortion
from sfumato.compression.picture_stream import IntegerPyramid, scale_for, set_group, weight_groups, whole_group
from sfumato.compression.pyramid import Columns, Grid, PictureNetwork, Pyramid
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Pixels, Scalar

NUMBER_RATE, WEIGHT_RATE = 0.16, 0.01
"""Step sizes of Adam at the beginning, of the numbers of the grids and of the weights."""
_SOFT = 0.85
"""Share of the steps with noise in the place of rounding."""
_WARM, _COLD = 0.3, 0.1
"""Temperature of the soft rounding at the beginning and at the end of these."""
_LAST_TEMPERATURE, _LAST_RATE = 0.2, 0.01
_DIGITS = range(3, 11)
"""Binary digits after the point among which those of a group of weights are chosen."""


class Overfitted(NamedTuple):
    """The network and the grids of one picture, as its file has them."""

    network: PictureNetwork
    digits: list[int]
    """Binary digits after the point of each group of weights."""
    numbers: IntegerPyramid


class _Target(NamedTuple):
    """What the search works towards."""

    images: Images
    quality: int
    tune: Tune

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.images.shape[2] * self.images.shape[3]


def overfitted(pixels: Pixels, quality: int, *, steps: int, tune: Tune = "psnr") -> Overfitted:
    """A network and grids for one picture of bytes (h, w, 3). The same picture gives the same on the same machine."""
    images = pixels.permute(2, 0, 1)[None].float() / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PictureNetwork(quality)
        numbers = [nn.Parameter(level) for level in pyramid.difference_pyramid(images, quality)]
        with torch.enable_grad():
            _search(network, numbers, _Target(images, quality, tune), steps)
    settled = [level.detach().round() for level in numbers]
    with torch.no_grad():
        digits = _round_weights(network, settled, _Target(images, quality, tune))
    return Overfitted(network, digits, [level.long() for level in settled])


def _search(network: PictureNetwork, numbers: list[nn.Parameter], target: _Target, steps: int) -> None:
    """Moves the numbers and the weights."""
    groups = [{"params": numbers, "rate": NUMBER_RATE}, {"params": list(network.parameters()), "rate": WEIGHT_RATE}]
    optimizer = torch.optim.Adam(groups, lr=NUMBER_RATE)
    soft = round(steps * _SOFT)
    for step in counted(range(steps), "steps"):
        if step < soft:
            progress = step / soft
            values = [_noisy(level, progress) for level in numbers]
            share = 0.1 + 0.45 * (1 + math.cos(math.pi * progress))
        else:
            values = [_rounded(level) for level in numbers]
            share = _LAST_RATE * (steps - step) / (steps - soft)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * share
        loss = _total(network, values, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _total(network: PictureNetwork, values: Pyramid, target: _Target) -> Scalar:
    """Bits per pixel and weighted error."""
    error = distortion(network.synthesis(values), target.images, target.tune)
    return bits(network, values) / target.pixels + pyramid.weight_of(target.quality) * error


def bits(network: PictureNetwork, values: Pyramid) -> Scalar:
    """Bits of all numbers of a pyramid; differentiable."""
    total = values[0].new_zeros(())
    for channels in ((0,), (1, 2)):
        grids = [grid for grid in pyramid.order() if grid.channel in channels]
        columns = torch.cat([_columns(values, grid) for grid in grids], dim=1)
        mean, place = network.context_of(channels[0])(columns)
        centre = torch.cat([values[grid.level][0, grid.channel].flatten() for grid in grids])
        total = total + laplace_bits(centre - mean, torch.exp2((2 * place).clamp(-5, 6))).sum()
    return total


def _columns(values: Pyramid, grid: Grid) -> Columns:
    near = pyramid.neighbours(values[grid.level][0, grid.channel])
    return torch.cat([near, pyramid.surroundings(values, grid)])


def laplace_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """Bits of numbers at a `distance` from the mean of Laplace distributions of that `scale`, each of a bin of width 1."""
    size = distance.abs()
    near = size.clamp(max=0.5)
    inner = 1 - 0.5 * (torch.exp((near - 0.5) / scale) + torch.exp((-near - 0.5) / scale))
    outer = (size - 0.5) / (scale * math.log(2)) + 1 - torch.log2(-torch.expm1(-1 / scale))
    return torch.where(size < 0.5, -inner.clamp_min(1e-9).log2(), outer)


def _noisy(level: Tensor, progress: float) -> Tensor:
    """Numbers with noise in the place of rounding, whose spread falls as the search goes on."""
    temperature = _WARM + (_COLD - _WARM) * progress
    a = 2 - progress
    b = (2**a * (a - 1) + 1) / a
    # Kumaraswamy's distribution with its peak in the middle of [0, 1].
    noise = (1 - (1 - torch.rand_like(level).clamp(1e-6, 1 - 1e-6)) ** (1 / b)) ** (1 / a) - 0.5
    return soft_round(soft_round(level, temperature) + noise, temperature)


def _rounded(level: Tensor) -> Tensor:
    """Rounded numbers with the gradient of the soft rounding."""
    soft = soft_round(level, _LAST_TEMPERATURE)
    return soft + (level.round() - soft).detach()


def soft_round(x: Tensor, temperature: float) -> Tensor:
    """`x` nearer to whole numbers, the nearer the lower the temperature; halves and whole numbers stay."""
    below = x.floor()
    return below + 0.5 + torch.tanh((x - below - 0.5) / temperature) / (2 * math.tanh(0.5 / temperature))


def _round_weights(network: PictureNetwork, values: Pyramid, target: _Target) -> list[int]:
    """Rounds the weights of a network; the digits of each group."""
    chosen = list[int]()
    for group in weight_groups(network):
        exact, totals = copy.deepcopy(group), dict[int, float]()
        for digits in _DIGITS:
            numbers = whole_group(exact, digits)
            set_group(group, numbers, digits)
            totals[digits] = scale_for(numbers)[1] / target.pixels + float(_total(network, values, target))
        best = min(totals, key=totals.__getitem__)
        set_group(group, whole_group(exact, best), best)
        chosen.append(best)
    return chosen
