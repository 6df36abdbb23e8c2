"""Attention gates: feature maps multiplied by learned weights of their channels or of their pixels.

channel gate    y = x s, one weight for each channel, computed from statistics over the image
  mean          s = sigmoid(W2 relu(W1 mean(x))): squeeze and excitation (Hu et al. 2018, https://arxiv.org/abs/1709.01507)
  mean+max      s = sigmoid(W2 relu(W1 mean(x)) + W2 relu(W1 max(x))): CBAM (Woo et al. 2018, https://arxiv.org/abs/1807.06521)
  mean+std      s = sigmoid(W2 relu(W1 (mean(x) + std(x)))): contrast (Hui et al. 2019, https://arxiv.org/abs/1909.11856)
  linear        s = W mean(x): simplified channel attention (Chen et al. 2022, https://arxiv.org/abs/2204.04676)
pixel gate      y = x m, one weight for each pixel
  pointwise     m = sigmoid(W2 relu(W1 x)), as the channel gate but over pixels
  pooled        m = sigmoid(conv7x7(mean and max over channels)): CBAM
split           y = x1 x2, the product of the two halves of the channels: SimpleGate (Chen et al. 2022)

A statistic over the whole image makes the result of a tile differ from the result of the whole image. With `cell` > 0 the statistic is
taken over a fixed window instead: the cell of `cell` x `cell` pixels around a pixel and its eight neighbour cells. Tiles whose borders lie
on multiples of `cell` then agree with the whole image.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps

ChannelKind = Literal["none", "mean", "mean+max", "mean+std", "linear"]
PixelKind = Literal["none", "pointwise", "pooled"]


class ChannelGate(nn.Module):
    """Multiplies each channel by one weight, computed over the image or over windows of 3 x 3 cells (`cell` pixels a side)."""

    def __init__(self, kind: ChannelKind, channels: int, *, reduction: int = 4, cell: int = 0) -> None:
        super().__init__()
        self.kind, self.cell = kind, cell
        hidden = max(1, channels // reduction)
        if kind == "linear":
            self.weigh: nn.Module = nn.Conv2d(channels, channels, 1)
        else:
            self.weigh = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Images) -> Images:
        score = self.weigh(self._statistic(x))
        if self.kind == "mean+max":
            score = score + self.weigh(_greatest(x, self.cell))
        return x * _laid_out(score if self.kind == "linear" else score.sigmoid(), x, self.cell)

    def _statistic(self, x: Images) -> Maps:
        mean = _mean(x, self.cell)
        if self.kind != "mean+std":
            return mean
        # float32, because the variance is a difference of two close numbers.
        mean = mean.float()
        return mean + (_mean(x.float().square(), self.cell) - mean.square()).clamp_min(1e-12).sqrt()


class PixelGate(nn.Module):
    """Multiplies each pixel by one weight for all channels."""

    def __init__(self, kind: PixelKind, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.kind = kind
        if kind == "pooled":
            self.weigh: nn.Module = nn.Conv2d(2, 1, 7, 1, 3)
        else:
            hidden = max(1, channels // reduction)
            self.weigh = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest pixel that a pixel's weight depends on."""
        return 3 if self.kind == "pooled" else 0

    def forward(self, x: Images) -> Images:
        statistics = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1) if self.kind == "pooled" else x
        return x * self.weigh(statistics).sigmoid()


class Split(nn.Module):
    """Returns the product of the two halves of the channels: maps with half as many channels."""

    def forward(self, x: Images) -> Maps:
        first, second = x.chunk(2, dim=1)
        return first * second


def _mean(x: Images, cell: int) -> Maps:
    if not cell:
        return x.mean(dim=(2, 3), keepdim=True)
    # A cell that the border cuts is weighted by its number of pixels: the mean over cells then equals the mean over pixels.
    rows, columns = (torch.arange(0, side, cell, device=x.device).sub(side).neg().clamp_max(cell) / cell for side in x.shape[2:])
    share = (rows[:, None] * columns).to(x)[None, None]
    return F.avg_pool2d(F.avg_pool2d(x, cell, ceil_mode=True) * share, 3, 1, 1) / F.avg_pool2d(share, 3, 1, 1)


def _greatest(x: Images, cell: int) -> Maps:
    if not cell:
        return x.amax(dim=(2, 3), keepdim=True)
    return F.max_pool2d(F.max_pool2d(x, cell, ceil_mode=True), 3, 1, 1)


def _laid_out(score: Maps, x: Images, cell: int) -> Maps:
    """`score`, one value a cell, repeated for every pixel of `x`."""
    if not cell:
        return score
    return F.interpolate(score, scale_factor=cell, mode="nearest")[:, :, : x.shape[2], : x.shape[3]]
