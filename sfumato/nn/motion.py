"""Where the parts of a picture went in the next one, by comparing blocks: motion without a trained network.

Of each block of one picture the shift is found at which the other resembles it most, among all up to a reach; a shift of nothing is
preferred where others are no better, so that flat parts stand still.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps
from sfumato.nn.resample import resize

BLOCK = 8
"""Side of a block, in pixels of the size that is compared."""
LARGEST = 256
"""Pictures are compared at a size whose longer side is at most this."""
PREFER = 0.002
"""What a shift as far as the reach must win, in mean difference of full scale; nearer ones in proportion."""


@torch.no_grad()
def shifts(before: Images, after: Images, *, reach: int = 6) -> Maps:
    """For each pixel of `after`, how many pixels to the right and down of it in `before` lies what it shows: (n, 2, h, w).

    Up to `reach` pixels of the size that is compared are looked for either way.
    """
    h, w = after.shape[2:]
    scale = min(1.0, LARGEST / max(h, w))
    size = max(BLOCK, round(h * scale)), max(BLOCK, round(w * scale))
    a, b = (resize(x.mean(dim=1, keepdim=True), size) for x in (before, after))
    wide = F.pad(a, (reach,) * 4, mode="replicate")
    costs, moves = [], []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            other = wide[:, :, reach + dy : reach + dy + size[0], reach + dx : reach + dx + size[1]]
            apart = F.avg_pool2d((b - other).abs(), BLOCK, ceil_mode=True, count_include_pad=False)
            costs.append(apart + PREFER * (abs(dx) + abs(dy)) / reach)
            moves.append((dx, dy))
    best = torch.cat(costs, dim=1).argmin(dim=1)
    found = torch.tensor(moves, dtype=torch.float32, device=after.device)[best].permute(0, 3, 1, 2)
    smooth = F.interpolate(found, (h, w), mode="bilinear", align_corners=False)
    return smooth * torch.tensor([w / size[1], h / size[0]], device=after.device).view(1, 2, 1, 1)


def moved(images: Images, shift: Maps) -> Images:
    """`images` as they look after the motion: each pixel taken from where `shift` says it was."""
    h, w = images.shape[2:]
    y, x = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    grid: Tensor = torch.stack([x + shift[:, 0], y[:, None] + shift[:, 1]], dim=-1)
    grid = (2 * grid + 1) / torch.tensor([w, h], device=images.device) - 1
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
