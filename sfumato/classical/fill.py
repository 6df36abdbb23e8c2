"""Classical inpainting by three methods, as baselines for networks.

`observed` is the mask: 1 for observed pixels, 0 for missing ones, in one plane for all channels or one for each. Observed pixels stay
unchanged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.extras import missing
from sfumato.core.tensors import Images, Maps, to_bytes

_COARSEST = 8
"""Longest side in pixels for which the solution does not start from a smaller image."""


@torch.no_grad()
def laplace(images: Images, *, observed: Maps, tolerance: float = 1e-5) -> Images:
    """Images with missing pixels filled by the Laplace equation: each equals the mean of its neighbours; in [0, 1].

    Conjugate gradients (Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044), started from the solution at half the size, until
    no pixel differs from the mean of its neighbours by more than `tolerance` of full scale. Raises ImageError if `observed` does not fit
    the images or a channel has no observed pixel, SettingError for a tolerance outside [1e-6, 1].
    """
    if not 1e-6 <= tolerance <= 1:
        raise SettingError(f"tolerance = {tolerance:g} is outside [1e-6, 1] of full scale")
    return _relaxed(images, observed_pixels(images, observed), tolerance).clamp(0, 1)


@torch.no_grad()
def biharmonic(images: Images, *, observed: Maps) -> Images:
    """Images with missing pixels filled by the biharmonic equation, which continues slopes through a hole; in [0, 1] (scikit-image).

    Damelin & Hoang 2018 (https://doi.org/10.1155/2018/3950312). About a second for a hundred thousand scattered pixels. Raises
    ImageError as `laplace` does, MissingExtraError without scikit-image.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise missing("biharmonic needs", "scikit-image") from error
    is_observed, filled = observed_pixels(images, observed), images.clone()
    for i, j in (~is_observed).flatten(2).any(dim=2).nonzero().tolist():
        channel = inpaint_biharmonic(images[i, j].double().cpu().numpy(), (~is_observed[i, j]).cpu().numpy())
        filled[i, j] = torch.from_numpy(channel).to(images)
    return filled.where(~is_observed, images).clamp(0, 1)


@torch.no_grad()
def telea(images: Images, *, observed: Maps, radius: float = 3.0) -> Images:
    """Images with missing pixels filled inwards from the border of the hole, by Telea's method (OpenCV, in 8 bits).

    Telea 2004 (https://doi.org/10.1080/10867651.2004.10487596). Each pixel is a weighted mean of those within `radius` pixels, rounded to
    8 bits. Raises ImageError as `laplace` does, SettingError for a radius outside [1, 100], MissingExtraError without OpenCV.
    """
    if not 1 <= radius <= 100:
        raise SettingError(f"radius = {radius:g} is outside [1, 100] pixels")
    try:
        import cv2
    except ImportError as error:
        raise missing("telea needs", "OpenCV") from error
    is_observed, filled, stored = observed_pixels(images, observed), images.clone(), to_bytes(images).cpu()
    for i, j in (~is_observed).flatten(2).any(dim=2).nonzero().tolist():
        hole = (~is_observed[i, j]).to(torch.uint8).cpu().numpy()
        # OpenCV also reads the pixels inside the hole; the mean of the observed ones is neutral.
        stored[i, j][~is_observed[i, j].cpu()] = stored[i, j][is_observed[i, j].cpu()].float().mean().round().to(torch.uint8)
        filled[i, j] = torch.from_numpy(cv2.inpaint(stored[i, j].numpy(), hole, radius, cv2.INPAINT_TELEA)).to(images) / 255
    return filled.where(~is_observed, images)


def observed_pixels(images: Images, observed: Float[Tensor, "..."]) -> Bool[Tensor, "n c h w"]:
    """The mask of observed values. Raises ImageError if its shape does not fit the images, or a channel has no observed pixel."""
    n, c, h, w = images.shape
    if tuple(observed.shape) not in ((n, 1, h, w), (n, c, h, w)):
        raise ImageError(f"observed has the shape {tuple(observed.shape)}; for these images it must be {(n, 1, h, w)} or {(n, c, h, w)}")
    is_observed = (observed > 0.5).expand_as(images)
    if not is_observed.flatten(2).any(dim=2).all():
        raise ImageError("observed is 0 for every pixel of an image, so nothing is left to fill from; set it to 1 for pixels to keep")
    return is_observed


def _relaxed(images: Images, observed: Bool[Tensor, "n c h w"], tolerance: float) -> Images:
    """The solution of the Laplace equation, started from that for half the size: the solver spreads values over few pixels a step."""
    if observed.all():
        return images
    weight = observed.float()
    start = images
    if max(images.shape[2:]) > _COARSEST:
        halves, share = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (images * weight, weight))
        coarse = _relaxed(halves / share.clamp_min(1e-6), share > 0, tolerance)
        start = F.interpolate(coarse, size=images.shape[2:], mode="bilinear", align_corners=False)
    else:
        start = ((images * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)))[:, :, None, None].expand_as(images)
    return _conjugate_gradients(images.where(observed, start), (~observed).float(), tolerance)


def _conjugate_gradients(x: Images, free: Images, tolerance: float) -> Images:
    """`x` with each `free` pixel (1) equal to the mean of its neighbours up to `tolerance`; channels are solved in parallel."""
    rest = -free * _excess(x)
    count = _neighbours(x)
    lean = rest / count
    step, power = lean, (rest * lean).sum(dim=(2, 3), keepdim=True)
    for _ in range(10 * sum(x.shape[2:]) + 100):
        if (rest / count).abs().max() <= tolerance:
            break
        pushed = free * _excess(step)
        # A channel that has converged has a step of 0 / 0, which the clamp turns into 0.
        length = power / (step * pushed).sum(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        x, rest = x + length * step, rest - length * pushed
        lean = rest / count
        before, power = power, (rest * lean).sum(dim=(2, 3), keepdim=True)
        step = lean + power / before.clamp_min(1e-30) * step
    return x


def _excess(x: Images) -> Images:
    """The sum over the neighbours inside the image of the differences between a pixel and its neighbour."""
    excess = torch.zeros_like(x)
    for dim in (2, 3):
        step = x.diff(dim=dim)
        excess.narrow(dim, 1, step.shape[dim]).add_(step)
        excess.narrow(dim, 0, step.shape[dim]).sub_(step)
    return excess


def _neighbours(x: Images) -> Float[Tensor, "1 1 h w"]:
    """Number of neighbours of each pixel inside the image; 1 for an image of one pixel, to divide by."""
    h, w = x.shape[2:]
    rows, columns = (2 - (torch.arange(s) == 0).float() - (torch.arange(s) == s - 1).float() for s in (h, w))
    return (rows[:, None] + columns).clamp_min(1).to(x)[None, None]
