"""Enhanced spatial attention: features multiplied by a mask that is computed at a coarse size.

Liu et al. 2020, "Residual feature aggregation network for image super-resolution", section 3.3; lighter forms in RFDN
(https://arxiv.org/abs/2009.11551) and RLFN (https://arxiv.org/abs/2205.07514).

    x ─┬─ reduce ─┬─ shrink ─ max of 7x7 ─ coarse ─ enlarge ─ + ─ expand ─ sigmoid ─ * ─ y
       │          └──────────────── direct ────────────────────┘                      │
       └─────────────────────────────────────────────────────────────────────────────┘

`enlarge` stretches the coarse maps to the size of `x`. Neither `shrink` nor the maximum is padded, so the stretch depends on the size of
the whole image, and tiles cannot be made to agree with it.
"""

from typing import final

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.tensors import Images

LEAST_SIDE = 15
"""The least height and width, in pixels, that give the maximum of 7x7 something to look at."""


@final
class EnhancedSpatialAttention(nn.Module):
    """Multiplies `width` channels by a mask, which is computed with `narrow` channels and `depth` convolutions at the coarse size.

    The sides of the maps must be at least LEAST_SIDE.
    """

    def __init__(self, width: int, narrow: int, depth: int) -> None:
        super().__init__()
        self.reduce, self.direct = nn.Conv2d(width, narrow, 1), nn.Conv2d(narrow, narrow, 1)
        self.shrink = nn.Conv2d(narrow, narrow, 3, 2)
        convs = [nn.Conv2d(narrow, narrow, 3, 1, 1) for _ in range(depth)]
        self.coarse = nn.Sequential(*(layer for conv in convs[:-1] for layer in (conv, nn.ReLU(inplace=True))), convs[-1])
        self.expand = nn.Conv2d(narrow, width, 1)

    def forward(self, x: Images) -> Images:
        reduced = self.reduce(x)
        coarse = self.coarse(F.max_pool2d(self.shrink(reduced), 7, 3))
        coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.expand(coarse + self.direct(reduced)))
