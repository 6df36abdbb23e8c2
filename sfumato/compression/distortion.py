"""What a search for a smaller file takes for the error of a picture."""

from typing import Literal

import torch
from torch.nn import functional as F

from sfumato.core.tensors import Images, Scalar
from sfumato.metrics.fidelity import SCALES
from sfumato.nn.ssim import WINDOW, similarity

Tune = Literal["psnr", "ms-ssim"]
SMALLEST = (WINDOW - 1) * 2 ** (len(SCALES) - 1) + 1
"""Smallest side in pixels of a picture that has an MS-SSIM; a smaller one is tuned for PSNR."""
_UNIT = 1300.0
"""Squared grey levels that count as much as an MS-SSIM of 0 in place of 1: the ratio at which published codecs have similar rates."""
_LEAST = 1e-4


def distortion(images: Images, reference: Images, tune: Tune) -> Scalar:
    """The mean squared error in squared grey levels of 255, or with `ms-ssim` what MS-SSIM lacks of 1, in the same unit; differentiable."""
    if tune == "psnr" or min(reference.shape[2:]) < SMALLEST:
        return 255**2 * F.mse_loss(images, reference)
    total = images.new_zeros(images.shape[:2])
    for scale, weight in enumerate(SCALES):
        whole, structure = similarity(images, reference)
        term = whole if scale == len(SCALES) - 1 else structure
        total = total + weight * term.clamp_min(_LEAST).log()
        images, reference = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (images, reference))
    return _UNIT * (1 - torch.exp(total)).mean()
