"""What a search for a smaller file takes for the error of a picture."""

from typing import Literal

from torch.nn import functional as F

from sfumato.core.tensors import Images, Scalar
from sfumato.nn.ssim import SMALLEST, multiscale_similarity

Tune = Literal["psnr", "ms-ssim"]
_UNIT = 1300.0
"""Squared grey levels that count as much as an MS-SSIM of 0 in place of 1: the ratio at which published codecs have similar rates."""
_LEAST = 1e-4


def distortion(images: Images, reference: Images, tune: Tune) -> Scalar:
    """The mean squared error in squared grey levels of 255, or with `ms-ssim` what MS-SSIM lacks of 1, in the same unit; differentiable.

    Pictures with a side below 161 pixels have no MS-SSIM: for them both are the squared error.
    """
    if tune == "psnr" or min(reference.shape[2:]) < SMALLEST:
        return 255**2 * F.mse_loss(images, reference)
    return _UNIT * (1 - multiscale_similarity(images, reference, least=_LEAST)).mean()
