"""Filling what is missing from what is around it, by three equations from before networks.

`observed` is 1 where a pixel is seen and 0 where it is missing, in one plane for all channels or in a plane for each. What is known comes
back as it was.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.extras import missing
from sfumato.core.tensors import Images, Maps, to_bytes

_COARSEST = 8
"""Pixels a side at which nothing is gained by starting from a smaller image."""


@torch.no_grad()
def laplace(images: Images, *, observed: Maps, tolerance: float = 1e-5) -> Images:
    """Missing pixels as the mean of their neighbours, those too: the smoothest sheet through what is known, as a soap film.

    Conjugate gradients (Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044), from the solution for half the size, until no
    pixel differs from the mean of its neighbours by more than `tolerance` of full scale. Raises ImageError if `observed` does not fit or
    nothing in a channel is known, SettingError for a tolerance outside [1e-6, 1].
    """
    if not 1e-6 <= tolerance <= 1:
        raise SettingError(f"tolerance = {tolerance:g} is outside [1e-6, 1] of full scale")
    return _relaxed(images, observed_pixels(images, observed), tolerance).clamp(0, 1)


@torch.no_grad()
def biharmonic(images: Images, *, observed: Maps) -> Images:
    """Missing pixels such that the Laplacian's Laplacian is 0: smooth slopes go on through a hole (scikit-image).

    Damelin & Hoang 2018 (https://doi.org/10.1155/2018/3950312). About a second for a hundred thousand scattered pixels. Raises
    ImageError as `laplace` does, MissingExtraError without scikit-image.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise missing("biharmonic needs", "scikit-image") from error
    seen, made = observed_pixels(images, observed), images.clone()
    for i, j in (~seen).flatten(2).any(dim=2).nonzero().tolist():
        filled = inpaint_biharmonic(images[i, j].double().cpu().numpy(), (~seen[i, j]).cpu().numpy())
        made[i, j] = torch.from_numpy(filled).to(images)
    return made.where(~seen, images).clamp(0, 1)


@torch.no_grad()
def telea(images: Images, *, observed: Maps, radius: float = 3.0) -> Images:
    """Missing pixels from the known ones within `radius` pixels, inwards from the border of the hole (OpenCV, in 8 bits).

    Telea 2004 (https://doi.org/10.1080/10867651.2004.10487596). What is filled in has one of 256 values, and was made from what is known
    rounded to these. Raises ImageError as `laplace` does, SettingError for a radius outside [1, 100], MissingExtraError without OpenCV.
    """
    if not 1 <= radius <= 100:
        raise SettingError(f"radius = {radius:g} is outside [1, 100] pixels")
    try:
        import cv2
    except ImportError as error:
        raise missing("telea needs", "OpenCV") from error
    seen, made, stored = observed_pixels(images, observed), images.clone(), to_bytes(images).cpu()
    for i, j in (~seen).flatten(2).any(dim=2).nonzero().tolist():
        hole = (~seen[i, j]).to(torch.uint8).cpu().numpy()
        # OpenCV looks a little at what stands in the hole: let that be nothing in particular.
        stored[i, j][~seen[i, j].cpu()] = stored[i, j][seen[i, j].cpu()].float().mean().round().to(torch.uint8)
        made[i, j] = torch.from_numpy(cv2.inpaint(stored[i, j].numpy(), hole, radius, cv2.INPAINT_TELEA)).to(images) / 255
    return made.where(~seen, images)


def observed_pixels(images: Images, observed: Float[Tensor, "..."]) -> Bool[Tensor, "n c h w"]:
    """Which values are known. Raises ImageError if that does not fit the images, or nothing in a channel is known."""
    n, c, h, w = images.shape
    if tuple(observed.shape) not in ((n, 1, h, w), (n, c, h, w)):
        raise ImageError(f"known of shape {tuple(observed.shape)} must be {(n, 1, h, w)} or {(n, c, h, w)}, as the images are")
    seen = (observed > 0.5).expand_as(images)
    if not seen.flatten(2).any(dim=2).all():
        raise ImageError("nothing of an image is known: there is nothing to fill it from; check that known is 1 where a pixel is seen")
    return seen


def _relaxed(images: Images, observed: Bool[Tensor, "n c h w"], tolerance: float) -> Images:
    """The harmonic fill, found for half the size first: there a hole is half as wide, and far borders are near."""
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
    """`x` with those pixels that are `free` (1) moved until each is the mean of its neighbours; channels run side by side."""
    rest = -free * _excess(x)
    count = _neighbours(x)
    lean = rest / count
    step, power = lean, (rest * lean).sum(dim=(2, 3), keepdim=True)
    for _ in range(10 * sum(x.shape[2:]) + 100):
        if (rest / count).abs().max() <= tolerance:
            break
        pushed = free * _excess(step)
        # A channel that has arrived stands still: 0 / 0 would be no step.
        length = power / (step * pushed).sum(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        x, rest = x + length * step, rest - length * pushed
        lean = rest / count
        before, power = power, (rest * lean).sum(dim=(2, 3), keepdim=True)
        step = lean + power / before.clamp_min(1e-30) * step
    return x


def _excess(x: Images) -> Images:
    """How much each pixel exceeds its neighbours inside the image, summed over them."""
    made = torch.zeros_like(x)
    for dim in (2, 3):
        step = x.diff(dim=dim)
        made.narrow(dim, 1, step.shape[dim]).add_(step)
        made.narrow(dim, 0, step.shape[dim]).sub_(step)
    return made


def _neighbours(x: Images) -> Float[Tensor, "1 1 h w"]:
    """How many neighbours each pixel has inside the image; 1 for an image of one pixel, which has none."""
    h, w = x.shape[2:]
    rows, columns = (2 - (torch.arange(s) == 0).float() - (torch.arange(s) == s - 1).float() for s in (h, w))
    return (rows[:, None] + columns).clamp_min(1).to(x)[None, None]
