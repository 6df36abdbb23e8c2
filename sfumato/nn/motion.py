"""Motion between two pictures by block matching, without a trained network.

For each block, the shift with the smallest mean absolute difference is selected by exhaustive search. A small penalty on the length of the
shift keeps flat regions still.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps
from sfumato.nn.resample import resize

BLOCK = 8
"""Side of a block in pixels, at the resolution of the search."""
LARGEST = 256
"""Longer side in pixels of the resolution of the search; larger pictures are shrunk."""
PENALTY = 0.002
"""Penalty on a shift of `reach` pixels, added to the mean absolute difference (full scale is 1); proportionally less for shorter shifts."""


@torch.no_grad()
def estimate_motion(before: Images, after: Images, *, reach: int = 6) -> Maps:
    """The displacement (right, down) in pixels from each pixel of `after` to the matching pixel of `before`: (n, 2, h, w).

    The search covers `reach` pixels in each direction, at the resolution of the search.
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
            difference = F.avg_pool2d((b - other).abs(), BLOCK, ceil_mode=True, count_include_pad=False)
            costs.append(difference + PENALTY * (abs(dx) + abs(dy)) / reach)
            moves.append((dx, dy))
    best = torch.cat(costs, dim=1).argmin(dim=1)
    motion = torch.tensor(moves, dtype=torch.float32, device=after.device)[best].permute(0, 3, 1, 2)
    smooth = F.interpolate(motion, (h, w), mode="bilinear", align_corners=False)
    return smooth * torch.tensor([w / size[1], h / size[0]], device=after.device).view(1, 2, 1, 1)


def apply_motion(images: Images, shift: Maps) -> Images:
    """`images` warped by a motion (n, 2, h, w): each pixel is sampled bilinearly at its own position plus `shift`."""
    h, w = images.shape[2:]
    y, x = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    grid: Tensor = torch.stack([x + shift[:, 0], y[:, None] + shift[:, 1]], dim=-1)
    grid = (2 * grid + 1) / torch.tensor([w, h], device=images.device) - 1
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
