"""Holes in pictures: read from masks, and shared out by their size between the network and patches.

mask, or the picture's opacity ─ masks ─> observed ─ wide parts ─> patches
                                                   └ thin ones ──> network
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.classical.completion import fill_with_patches
from sfumato.classical.holes import separate, wide_parts
from sfumato.classical.methods import PATCHES
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import Images, Maps, Planes, size_text
from sfumato.io import files, masks
from sfumato.io.channels import as_images
from sfumato.io.files import Picture
from sfumato.io.masks import MaskOptions
from sfumato.restoration.request import RestorationRequest

DIAMETER = 16
"""Pixels across from which on a hole is filled with patches: there what they make looks nearer to the truth than what the network does."""
RIM = 3.5
"""Pixels from the border of a hole up to which the network is better than patches."""
_LARGE = 0.2
"""Share of the picture from which on a hole is said to be too large for any method."""


def mask_options(request: RestorationRequest) -> MaskOptions:
    """How the request wants masks to be read."""
    return MaskOptions(grow=request.grow_mask, invert=request.invert_mask)


def check_mask(request: RestorationRequest, mask: object) -> None:
    """Raises SettingError if the request says how to read a mask, and there is none."""
    if mask is None and (request.grow_mask or request.invert_mask):
        given = f"grow_mask = {request.grow_mask}" if request.grow_mask else "invert_mask"
        raise SettingError(f"{given} has no effect without a mask; give one, or leave it out")


def masked(picture: Picture, mask: Path | None, path: Path, request: RestorationRequest) -> tuple[Picture, Planes | None]:
    """The picture that is to be repaired, and 1 where it is to be believed; None for the latter without a mask.

    If the picture's own opacity is the mask, it comes without: what is filled in is opaque. Raises ImageError for a mask that cannot be.
    """
    options = mask_options(request)
    if request.alpha_mask:
        if picture.alpha is None:
            raise ImageError(f"{path}: has no opacity that could be its mask; give a picture with --mask")
        observed = masks.read(masks.of_alpha(as_images(picture.alpha)), options, str(path))
        return dataclasses.replace(picture, alpha=None), observed
    if mask is None:
        return picture, None
    drawn = files.read(mask)
    h, w = picture.pixels.shape[:2]
    if tuple(drawn.pixels.shape[:2]) != (h, w):
        own = size_text(drawn.pixels.shape[:2])
        raise ImageError(f"{mask}: the mask is {own} pixels, the picture {size_text((h, w))}; they must be the same")
    layers = [as_images(each) for each in (drawn.pixels, drawn.alpha) if each is not None]
    return picture, masks.read(masks.brightness(torch.cat(layers, dim=1), drawn.pixels.shape[2]), options, str(mask))


def for_patches(observed: Planes) -> Planes | None:
    """1 in those parts of the holes that are wide enough for patches, 0 elsewhere; None if there are no such."""
    wide = wide_parts(observed[0, 0] < 0.5, DIAMETER)
    return wide[None, None].to(observed) if bool(wide.any()) else None


def summary(observed: Planes, wide: Planes | None, network: str) -> str:
    """Which method fills how much of the picture."""
    if wide is None:
        return network
    large, all_holes = int(wide.sum()), int((observed == 0).sum())
    if large == all_holes:
        return PATCHES
    return f"{PATCHES} for {large / observed.numel():.1%}, {network} for {(all_holes - large) / observed.numel():.1%}"


def warning(observed: Planes, wide: Planes | None) -> str:
    """What to tell a person of a hole that is too large for any method; nothing if there is none."""
    if wide is None:
        return ""
    largest = max(int(one.plane.sum()) for one in separate(wide[0, 0] > 0.5)) / wide.numel()
    if largest <= _LARGE and observed.mean() > wide.mean():
        return ""
    return f"a hole takes {largest:.0%} of the picture: what is made up there is seldom right"


def filled(images: Images, repaired: Maps, observed: Planes, wide: Planes) -> Maps:
    """`repaired` with patches of the picture in its `wide` parts; as the network has them where there is too little to copy from."""
    context = torch.where(observed > 0, images, repaired)[0]
    made, left = fill_with_patches(context, hole=wide[0, 0] > 0.5, trusted=observed[0, 0] > 0.5, rim=RIM)
    return torch.where(left, repaired, made[None])


def any_wide(observed: Callable[[int, int], Planes], size: tuple[int, int], rows: int) -> bool:
    """Whether any part of a hole, of which so many `rows` are looked at together, is wide enough for patches."""
    starts = range(0, size[0], rows)
    return any(for_patches(observed(start, min(size[0], start + rows + DIAMETER))) is not None for start in starts)
