"""Attention inside windows, and the transformer block around it (Liu et al. 2021, "Swin transformer", https://arxiv.org/abs/2103.14030).

    maps ─ roll by -shift ─ cut into windows ─ softmax(q k' / sqrt(d) + bias) v ─ join ─ roll back

The bias depends on the relative position of two pixels and is learned for each head. Rolling brings pixels of opposite borders of the
image into one window; they do not look at each other. So every window lies on one grid, and tiles that begin on it agree with the whole
image. Maps are (n, h, w, channels) here, and their sides multiples of the window.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.tensors import Other


class WindowAttention(nn.Module):
    """Self-attention of `heads` heads among the pixels of each window of `window` x `window`, on a grid moved by `shift`."""

    def __init__(self, width: int, heads: int, window: int, shift: int = 0) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * window - 1, 2 * window - 1))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Other) -> Other:
        n, h, w, c = x.shape
        rolled = x.roll((-self.shift, -self.shift), dims=(1, 2)) if self.shift else x
        qkv, bias = self.qkv(rolled), self._bias()
        last = h // self.window - 1
        # One row of windows at a time: all scores of a large image would not fit into memory.
        rows = [self._row(row, bias, bottom=i == last) for i, row in enumerate(qkv.split(self.window, dim=1))]
        y = self.project(torch.cat(rows, dim=1).reshape(n, h, w, c))
        return y.roll((self.shift, self.shift), dims=(1, 2)) if self.shift else y

    def _row(self, qkv: Other, bias: Tensor, *, bottom: bool) -> Other:
        """The values that a row of windows (n, window, w, 3c) gathers: (n, window, w, c). `bottom` is true for the last row."""
        n, side, w, _ = qkv.shape
        count, heads = w // side, self.heads
        parts = qkv.reshape(n, side, count, side, 3, heads, -1).permute(4, 0, 2, 5, 1, 3, 6).flatten(4, 5)
        mask = bias.to(qkv.dtype)[None]
        if self.shift:
            mask = mask.masked_fill(self._apart(count, bottom=bottom, device=qkv.device)[:, None], float("-inf"))
        y = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask)
        return y.unflatten(3, (side, side)).permute(0, 3, 1, 4, 2, 5).reshape(n, side, w, -1)

    def _bias(self) -> Tensor:
        """The bias of each head for each pair of pixels of a window: (heads, pixels, pixels)."""
        place = torch.arange(self.window, device=self.bias.device)
        offset = place[:, None] - place[None] + self.window - 1
        rows, columns = offset[:, None, :, None], offset[None, :, None, :]
        return self.bias[:, rows, columns].flatten(3, 4).flatten(1, 2)

    def _apart(self, count: int, *, bottom: bool, device: torch.device) -> Tensor:
        """Whether two pixels of a window come from opposite borders, for `count` windows side by side: (count, pixels, pixels)."""
        place = torch.arange(self.window, device=device) >= self.window - self.shift
        row = place if bottom else torch.zeros_like(place)
        column = torch.zeros(count, self.window, dtype=torch.bool, device=device)
        column[-1] = place
        label = (2 * row[None, :, None] + column[:, None, :]).flatten(1)
        return label[:, :, None] != label[:, None, :]


class WindowBlock(nn.Module):
    """Transformer block: x plus attention in windows, then x plus two linear layers with `hidden` channels and GELU in between."""

    def __init__(self, width: int, heads: int, window: int, shift: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), WindowAttention(width, heads, window, shift)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Other) -> Other:
        x = x + self.attention(self.norm1(x))
        return x + self.feed(self.norm2(x))
