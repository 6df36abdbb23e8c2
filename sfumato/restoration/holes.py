"""Holes in pictures: read from masks, and divided by their width between the network and patches.

mask, or the picture's opacity ─ masks ─> observed ─ wide parts ─> patches
                                                   └ thin parts ─> network
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.classical.completion import LEAST, RADIUS, fill_with_patches, patches_memory
from sfumato.classical.holes import separate, wide_parts
from sfumato.classical.methods import PATCHES
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.io import masks
from sfumato.io.channels import as_images
from sfumato.io.files import Picture
from sfumato.io.masks import MaskOptions
from sfumato.nn.dilation import dilated_by_square
from sfumato.restoration.request import RestorationRequest

DIAMETER = 16
"""Pixels across from which on a hole is filled with patches: from there on they look nearer to the truth than the output of the network."""
RIM = 3.5
"""Pixels from the border of a hole up to which the network is better than patches."""
_LARGE = 0.2
"""Share of the picture above which a hole is too large for any method."""


def mask_options(request: RestorationRequest) -> MaskOptions:
    """The options of the request with which masks are read."""
    return MaskOptions(grow=request.grow_mask, invert=request.invert_mask)


def check_mask(request: RestorationRequest, mask: object) -> None:
    """Raises SettingError if the request has options for a mask, and there is none."""
    if mask is None and (request.grow_mask or request.invert_mask):
        option = f"grow_mask = {request.grow_mask}" if request.grow_mask else "invert_mask"
        raise SettingError(f"{option} has no effect without a mask; give one, or leave it out")


def no_opacity(name: str) -> ImageError:
    """The error for a picture without the opacity that should be its mask."""
    return ImageError(f"{name}: has no opacity that could be its mask; give a picture as the mask")


def observed_by_opacity(alpha: Planes | None, name: str, request: RestorationRequest) -> Planes:
    """1 where a picture with the opacity `alpha` is opaque, 0 elsewhere. Raises ImageError, naming the picture, if it has no opacity."""
    if alpha is None:
        raise no_opacity(name)
    return masks.observed(masks.brightness_of_alpha(alpha), name, mask_options(request))


def masked(picture: Picture, mask: Path | None, path: Path, request: RestorationRequest) -> tuple[Picture, Planes | None]:
    """The picture to repair, and its mask: 1 where pixels are kept; None without a mask.

    If the opacity of the picture is its mask, the picture is returned without opacity. Raises ImageError for a mask that cannot be used.
    """
    if request.alpha_mask:
        alpha = None if picture.alpha is None else as_images(picture.alpha)
        return dataclasses.replace(picture, alpha=None), observed_by_opacity(alpha, str(path), request)
    if mask is None:
        return picture, None
    return picture, masks.observed(masks.read(mask, picture.pixels.shape[:2]), str(mask), mask_options(request))


def for_patches(observed: Planes) -> Planes | None:
    """1 in the parts of the holes that are wide enough for patches, 0 elsewhere; None if no part is."""
    wide = wide_parts(observed[0, 0] < 0.5, DIAMETER)
    return wide[None, None].to(observed) if bool(wide.any()) else None


def summary(observed: Planes, wide: Planes | None, network: str) -> str:
    """The methods that fill the holes, with the share of the picture of each if there are two."""
    if wide is None:
        return network
    large, missing = int(wide.sum()), int((observed == 0).sum())
    if large == missing:
        return PATCHES
    return f"{PATCHES} for {large / observed.numel():.1%}, {network} for {(missing - large) / observed.numel():.1%}"


def obstacle(observed: Planes, wide: Planes, memory: float) -> str:
    """Why the network has to fill the `wide` parts too, such as patches that take more than `memory` bytes; empty if it has not."""
    missing = dilated_by_square(1 - observed, RADIUS)[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
    if int((missing < 0.5).sum()) < LEAST:
        return "too little of the picture is left to copy from, so the network fills its large holes; that is seldom right"
    need = patches_memory(wide[0, 0] > 0.5, observed[0, 0] > 0.5)
    if need <= memory:
        return ""
    more = math.ceil((need - memory) / 1e8) / 10
    return f"patches for its large holes take {more:.1f}GB more --memory, so the network fills these, too"


def warning(observed: Planes, wide: Planes | None) -> str:
    """The warning of a hole that is too large for any method; empty if there is none."""
    if wide is None:
        return ""
    largest = max(int(hole.plane.sum()) for hole in separate(wide[0, 0] > 0.5)) / wide.numel()
    if largest <= _LARGE and observed.mean() > wide.mean():
        return ""
    return f"a hole takes {largest:.0%} of the picture: a result of such a size is seldom right"


def filled(images: Images, output: Maps, observed: Planes, wide: Planes) -> Maps:
    """`output` of the network with patches of the picture in the `wide` parts; unchanged where there are too few patches to copy."""
    context = torch.where(observed > 0, images, output)[0]
    completed, unfilled = fill_with_patches(context, hole=wide[0, 0] > 0.5, trusted=observed[0, 0] > 0.5, rim=RIM)
    return torch.where(unfilled, output, completed[None])


def any_wide(observed: Callable[[int, int], Planes], size: tuple[int, int], rows: int) -> bool:
    """Whether any part of a hole is wide enough for patches; `observed` is read so many `rows` at a time."""
    starts = range(0, size[0], rows)
    return any(for_patches(observed(start, min(size[0], start + rows + DIAMETER))) is not None for start in starts)
