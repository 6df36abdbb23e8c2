"""The network of one picture: what `--effort max` trains for each picture anew and puts into its file.

    grids of whole numbers, from coarse to fine ─ x step ─ each enlarged and added to the next finer ─ synthesis ─ image
         └ neighbours that come before, the coarser grid, the other channels ─ context network ─ mean and scale of each number

There are 7 levels, each half as large as the finer one: brightness at all of them, two differences of colours from the third on. So that
training begins at a codec that works, the grids begin as a pyramid of differences (Burt & Adelson 1983), and the synthesis as the sum of
its levels.

Ladune et al. 2023, https://arxiv.org/abs/2212.05458 (latent grids, context, synthesis of one picture); Kim et al. 2024,
https://arxiv.org/abs/2312.02753 (their training).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps
from sfumato.models.roles.codec import level_of
from sfumato.nn.channels import LUMA
from sfumato.nn.exact import MOST, ONE

LEVELS = 7
COLOURED = 2
"""The first level whose grids have colours; at finer ones there is brightness alone."""
NEIGHBOURS = (
    *((0, -1), (0, -2), (0, -3)),
    *((-1, -3), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2)),
    *((-2, -2), (-2, -1), (-2, 0), (-2, 1), (-2, 2)),
    *((-3, -1), (-3, 0)),
)
"""Rows and columns from a number to those that its prediction sees. All come before it in the order of `wavefronts`."""
BORDER = 3
"""Rows above and columns to the sides that neighbours can reach."""
WEIGHTS = (0.001, 0.1)
"""Weight of the squared error, in squared grey levels, against bits per pixel: at quality 1 and at quality 100."""
HIDDEN = (16, 8)
"""Hidden numbers of the context networks, for brightness and for colours."""
_STATIC = 3
LARGEST = MOST // ONE
"""Largest number that a prediction sees; larger ones are taken for it."""

Columns = Float[Tensor, "_inputs numbers"]
Pyramid = Sequence[Maps]
"""Grids of each level, the finest first: (1, channels, rows, columns), of whole numbers or of numbers that training moves."""


class Grid(NamedTuple):
    """One grid of the pyramid."""

    level: int
    """0 is the finest."""
    channel: int
    """0 is brightness."""


def sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows and columns of each level, the finest first."""
    return [((size[0] + (1 << k) - 1) >> k, (size[1] + (1 << k) - 1) >> k) for k in range(LEVELS)]


def channels(level: int) -> int:
    """The number of grids of a level."""
    return 3 if level >= COLOURED else 1


def order() -> list[Grid]:
    """All grids in the order of the file: from coarse to fine, brightness first."""
    return [Grid(level, channel) for level in reversed(range(LEVELS)) for channel in range(channels(level))]


def weight_of(quality: int) -> float:
    """The weight of the squared error at a quality."""
    low, high = (math.log(value) for value in WEIGHTS)
    return math.exp(low + (high - low) * level_of(quality))


class ContextNetwork(nn.Module):
    """What surrounds a number, to the mean and the scale of its distribution. It is also computed in whole numbers: see `coding.py`."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        inputs = len(NEIGHBOURS) + _STATIC
        self.first, self.second, self.output = nn.Conv2d(inputs, hidden, 1), nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, 2, 1)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=layer.in_channels**-0.5)
            nn.init.zeros_(_bias(layer))
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(_bias(self.output))

    def forward(self, columns: Columns) -> Columns:
        """Mean, and base 2 logarithm of the scale in halves of an octave, in two rows."""
        hidden = F.relu(_applied(self.first, columns))
        hidden = F.relu(_applied(self.second, hidden) + hidden)
        return _applied(self.output, hidden)


def _applied(layer: nn.Conv2d, columns: Columns) -> Columns:
    return layer.weight.flatten(1) @ columns + _bias(layer)[:, None]


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


class Synthesis(nn.Module):
    """A pyramid to the image."""

    steps: Tensor

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor([step_of(quality, level) for level in range(LEVELS)]), persistent=False)
        self.gains = nn.Parameter(torch.ones(LEVELS, 3))
        self.linear, self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(6, 16, 1), nn.Conv2d(16, 3, 1)
        self.sharpen, self.detail = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.linalg.inv(brightness_and_colours())[:, :, None, None])
            _bias(self.linear).fill_(0.5)
        nn.init.normal_(self.first.weight, std=self.first.in_channels**-0.5)
        nn.init.zeros_(_bias(self.first))
        for layer in (self.second, self.detail):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(_bias(layer))

    def forward(self, pyramid: Pyramid) -> Images:
        """The image, in [0, 1] up to an overshoot."""
        total = coarser = pyramid[-1].new_zeros(1, 3, *pyramid[-1].shape[2:])
        for level in reversed(range(LEVELS)):
            scaled = pyramid[level] * (self.steps[level] * self.gains[level, : channels(level)])[None, :, None, None]
            if level < LEVELS - 1:
                coarser = enlarged(total, (scaled.shape[2], scaled.shape[3]))
            total = coarser + F.pad(scaled, (0, 0, 0, 0, 0, 3 - scaled.shape[1]))
        both = torch.cat([total, coarser], dim=1)
        image = self.linear(total) + self.second(F.relu(self.first(4 * both)))
        sharp = F.relu(self.sharpen(F.pad(image - 0.5, (1, 1, 1, 1), mode="replicate")))
        return image + self.detail(F.pad(sharp, (1, 1, 1, 1), mode="replicate"))


class PictureNetwork(nn.Module):
    """The three networks of one picture."""

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.contexts = nn.ModuleList(ContextNetwork(hidden) for hidden in HIDDEN)
        self.synthesis = Synthesis(quality)

    def context_of(self, channel: int) -> ContextNetwork:
        """The context network for grids of a channel."""
        network = self.contexts[min(channel, 1)]
        assert isinstance(network, ContextNetwork)
        return network


def brightness_and_colours() -> Float[Tensor, "3 3"]:
    """The matrix from red, green and blue to luma and to two differences from it, of blue and of red, each in [-0.5, 0.5]."""
    luma, (red, _, blue) = torch.tensor(LUMA), torch.eye(3)
    return torch.stack([luma, (blue - luma) / (2 - 2 * luma[2]), (red - luma) / (2 - 2 * luma[0])])


def step_of(quality: int, level: int) -> float:
    """The size of one step of the numbers of a level at the beginning of training, in units of full scale.

    At high rates a step d brings the squared error d^2 / 12, and a bit fewer four times as much: where bits and weighted error balance,
    the error is 1 / (2 ln 2 weight). Numbers of coarser levels stand for more pixels, and their steps are shorter.
    """
    return math.sqrt(12 / (2 * math.log(2) * weight_of(quality))) / 255 * 2 ** (-level / 2)


def enlarged(maps: Maps, size: tuple[int, int]) -> Maps:
    """Maps of twice the size, cut to `size`: linear between the numbers. Exact for whole numbers in float64."""
    return F.interpolate(maps, scale_factor=2, mode="bilinear")[:, :, : size[0], : size[1]]


def neighbours(grid: Float[Tensor, "rows columns"]) -> Columns:
    """The neighbours of each number of a grid; zeros beyond its borders."""
    (h, w), padded = grid.shape, F.pad(grid, (BORDER, BORDER, BORDER, 0))
    shifted = [padded[BORDER + row : BORDER + row + h, BORDER + column : BORDER + column + w] for row, column in NEIGHBOURS]
    return torch.stack([each.flatten() for each in shifted])


def surroundings(pyramid: Pyramid, grid: Grid) -> Columns:
    """What is known of each number of a grid before the grid is read: sizes in the coarser grid and in the channel before, the level."""
    level, channel = grid
    (h, w), zero = pyramid[level].shape[2:], pyramid[level].new_zeros(1)
    coarser = enlarged(pyramid[level + 1][:, channel : channel + 1].abs(), (h, w)).flatten() if level + 1 < LEVELS else zero.expand(h * w)
    before = pyramid[level][0, channel - 1].abs().flatten() if channel else zero.expand(h * w)
    return torch.stack([coarser, before, (zero + level).expand(h * w)])


def difference_pyramid(images: Images, quality: int) -> list[Maps]:
    """The pyramid with which training begins: what each level adds to the coarser ones, in steps."""
    means = [torch.einsum("oc,nchw->nohw", brightness_and_colours(), images - 0.5)]
    for _ in range(LEVELS - 1):
        h, w = means[-1].shape[2:]
        means.append(F.avg_pool2d(F.pad(means[-1], (0, w % 2, 0, h % 2), mode="replicate"), 2))
    pyramid, total = list[Maps](), torch.zeros_like(means[-1])
    for level in reversed(range(LEVELS)):
        if level < LEVELS - 1:
            total = enlarged(total, (means[level].shape[2], means[level].shape[3]))
        step = step_of(quality, level)
        numbers = ((means[level] - total) / step)[:, : channels(level)]
        # Numbers near zero cost more than they bring.
        numbers = numbers.sign() * (numbers.abs() - 0.2).clamp_min(0)
        pyramid.insert(0, numbers)
        total = total + F.pad(numbers.round() * step, (0, 0, 0, 0, 0, 3 - numbers.shape[1]))
    return pyramid
