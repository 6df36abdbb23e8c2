"""Fidelity of each image to its reference: PSNR, SSIM, MS-SSIM.

Images are in [0, 1], and all channels count alike. No border is cut off, and luma is not formed: papers that report the luma channel or
cut a border report other numbers. All sums are float64.
"""

from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images, PerImage, size_text
from sfumato.metrics.base import double
from sfumato.nn.ssim import SMALLEST, WINDOW, multiscale_similarity, similarity


def psnr(images: Images, reference: Images) -> PerImage:
    """Peak signal-to-noise ratio in dB; higher is better, infinite for equal images. Raises ImageError for unequal shapes.

    >>> import torch
    >>> psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)).round().tolist()
    [20.0]
    """
    images, reference = _pair(images, reference, 1, "PSNR")
    return -10 * (images - reference).square().mean(dim=(1, 2, 3)).log10()


def ssim(images: Images, reference: Images) -> PerImage:
    """Structural similarity in [-1, 1], 1 for equal images (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861).

    The mean over Gaussian windows of 11x11 pixels and sigma 1.5 that lie wholly inside the image, then over channels.
    Raises ImageError for images with a side below 11 pixels, and for unequal shapes.
    """
    images, reference = _pair(images, reference, WINDOW, "SSIM")
    return similarity(images, reference)[0].mean(dim=1)


def ms_ssim(images: Images, reference: Images) -> PerImage:
    """Structural similarity over five scales, in [0, 1], 1 for equal images (Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216).

    The mean over channels of `multiscale_similarity`; a negative factor counts as 0. Raises ImageError for a side below 161 pixels, and
    for unequal shapes.
    """
    images, reference = _pair(images, reference, SMALLEST, "MS-SSIM")
    return multiscale_similarity(images, reference).mean(dim=1)


def _pair(images: Images, reference: Float[Tensor, "..."], least: int, metric: str) -> tuple[Images, Images]:
    """Both in float64. Raises ImageError for unequal shapes, and for a side below `least` pixels."""
    if images.shape != reference.shape:
        raise ImageError(f"images of shape {tuple(images.shape)} and reference of shape {tuple(reference.shape)} must be of one shape")
    if min(images.shape[-2:]) < least:
        height, width = images.shape[-2:]
        raise ImageError(f"{metric} needs images of at least {least} pixels either way; these have {size_text((height, width))}")
    return double(images), double(reference)
