"""A Wiener filter whose model of the clean picture is the output of a network: it brings back details that the network took for noise.

A network that was trained on simulated cameras removes a part of the texture of real photographs, and leaves a part of their noise. In the
cosine transform of a small square, a coefficient of the picture that is large in the network's output, too, beside the power of the noise
is a detail, and the picture's own value of it is nearer to the truth than the network's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, Maps
from sfumato.nn.cosine import SIDE, Powers, from_squares, square_transform

REACH = SIDE
"""Rows and columns around a part of a picture on which the result for that part depends."""
_TILE = 256
"""Side in pixels of the parts that are computed at once."""
_LEFT = 0.01
"""Standard deviation of the noise of a camera that a network leaves in a picture, as a share of full scale: 0.006 to 0.010 in simulated
photographs, whatever their noise."""
_MOST = 0.5
"""Greatest share of this filter in the result."""


@torch.no_grad()
def pilot_wiener(images: Images, pilot: Images, powers: Powers) -> Maps:
    """`pilot`, the output of a network for the noisy `images`, partly replaced by the Wiener estimate that takes it for the clean picture.

    The empirical Wiener filter (Ghael, Sayeed & Baraniuk 1997, https://doi.org/10.1117/12.292799) in overlapping squares of cosines.
    `powers` is the noise that the network takes away, which is less than there is. The more of the noise the network leaves, the more the
    filter counts: half at most, and hardly anything beside strong noise. Results may exceed [0, 1] a little.
    """
    h, w = images.shape[2:]
    removed = powers.mean(dim=(1, 2)).sqrt().clamp_min(1e-6)
    noise = powers * ((removed + _LEFT) / removed).square()[:, None, None]
    share = (_LEFT / (removed + _LEFT)).clamp(max=_MOST)
    result = torch.empty_like(pilot)
    for top in range(0, h, _TILE):
        for left in range(0, w, _TILE):
            first, begin = max(0, top - REACH), max(0, left - REACH)
            around = (..., slice(first, top + _TILE + REACH), slice(begin, left + _TILE + REACH))
            estimate = _estimate(images[around], pilot[around], noise, share)
            result[..., top : top + _TILE, left : left + _TILE] = estimate[..., top - first :, left - begin :][..., :_TILE, :_TILE]
    return result


def _estimate(images: Images, pilot: Images, noise: Powers, share: Float[Tensor, " c"]) -> Maps:
    """The result for one part of a picture, with a `noise` of these powers and a `share` of the filter in each channel."""
    picture, model = square_transform(images), square_transform(pilot)
    power = model * model
    picture.mul_(power).div_(power.add_(noise[:, None, None] + 1e-20)).sub_(model).mul_(share[:, None, None, None, None])
    return pilot + from_squares(picture, (images.shape[2], images.shape[3]))
