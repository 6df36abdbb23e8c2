"""One picture file, repaired into another, with all that the file says beside its pixels.

    file ─ read ─ remedy ─ repaired ─ write ─> file

What does not fit into memory goes through `repair_rows.py`.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from sfumato.classical import methods as classical
from sfumato.core import disk
from sfumato.core.errors import ImageError, MissingExtraError
from sfumato.core.image import Images, Maps, Planes
from sfumato.data import decode, files, strips
from sfumato.data.files import Picture
from sfumato.jobs.deep_prior import MEMORY, deep_prior
from sfumato.jobs.finite import finite
from sfumato.jobs.memory import BASE, footprint, tile_for
from sfumato.jobs.pixels import as_images, as_pixels, bled, blended, dark, enlarged, hidden
from sfumato.jobs.remedy import PRIOR, Remedy, Request, remedy
from sfumato.jobs.repair_rows import repair_rows
from sfumato.jobs.tiles import restored

_WHOLE = 120
"""Bytes for each pixel, before and after, of a picture that is held whole: stored, as numbers, repaired, and copies on the way."""


def repair(path: Path, target: Path, request: Request, *, mask: Path | None = None, check: disk.Check | None = None) -> Remedy:
    """Repairs the picture at `path` into `target` and returns what was found and done, `words` of which are one line.

    Size, bit depth, opacity, colour profile and all that the file says beside its pixels are kept. A picture that would not fit
    into the memory of the request is repaired some rows at a time. `check` is called with the finished file right before it takes its
    place, and what it raises leaves `target` as it is. Raises ImageError for a picture or a mask that cannot be used.
    """
    pixels = strips.megapixels(path) * 1e6
    enlarged = (request.scale or 4) ** 2 if request.task == "upscale" else 1
    need = BASE + pixels * (1 + enlarged) * _WHOLE / 2
    if pixels > decode.MAX_PIXELS or need > request.memory:
        enough = "" if pixels > decode.MAX_PIXELS else f"{math.ceil(need / 1e8) / 10:.1f}GB of --memory, or "
        strips.refuse_whole(path, mask, wants=enough, memory=request.memory - BASE)
        try:
            return repair_rows(path, target, request, mask, check)
        except MissingExtraError as error:
            raise MissingExtraError(f'{path}: wants {enough}strips, and those pip install "sfumato[vips]"') from error
    picture = files.read(path, lossless=True)
    images = as_images(picture.pixels)
    if picture.alpha is not None:
        images = bled(images, as_images(picture.alpha))
    plan = remedy(request, images, known=None if mask is None else _known(mask, picture), quality=_quality(picture))
    if plan.nothing:
        if files.same_format(path, target):
            files.copy(path, target, check=check)
        else:
            files.write(target, picture, check=check)
            plan = _noted(plan, picture)
        return plan
    made = repaired(images, plan, request)
    if picture.alpha is not None:
        made = hidden(made, as_images(picture.pixels), as_images(picture.alpha))
    pixels, alpha = as_pixels(made, picture.pixels.dtype), _opacity(picture, made)
    jpeg = picture.jpeg if torch.equal(pixels, picture.pixels) else picture.fine_jpeg
    files.write(target, dataclasses.replace(picture, pixels=pixels, alpha=alpha, jpeg=jpeg), check=check)
    return _noted(plan, picture)


def _noted(plan: Remedy, picture: Picture) -> Remedy:
    """The plan, whose words say too what of the file is not in the result."""
    return dataclasses.replace(plan, words=f"{plan.words} ({picture.left_out})") if picture.left_out else plan


def repaired(images: Images, plan: Remedy, request: Request) -> Maps:
    """What the remedy makes of one picture held whole, as strong as asked for and only where there is something to fill in.

    Raises ImageError if that takes more than the memory of the request.
    """
    if (need := _method_memory(plan, images)) > request.memory:
        raise ImageError(f"{plan.method} would take {need / 1e9:.1f}GB for it; give more --memory")
    return blended(images, _made(plan, request, images), strength=request.strength, known=plan.known)


def _made(plan: Remedy, request: Request, images: Images) -> Maps:
    if plan.network is not None:
        told = {"noise": plan.noise or 0.0, "quality": plan.quality, "known": plan.known}
        if "known" in plan.network.takes and plan.known is None:
            told["known"] = torch.ones_like(images[:, :1])
        mine: Any = {name: value for name, value in told.items() if name in plan.network.takes}
        shown = images if plan.known is None or "known" not in plan.network.takes else images * plan.known
        left = request.memory - BASE - images.numel() * 12
        tile = request.tile or tile_for(plan.network, left)
        if plan.network.context is None:
            need, tile = footprint(plan.network) * images.shape[2] * images.shape[3], None
            if need > left:
                need = (need + request.memory - left) / 1e9
                raise ImageError(f"the network looks at the whole picture at once, which takes {need:.1f} GB: give more --memory")
        return restored(plan.network, shown, tile=tile, precision=request.precision, device=request.device, **mine)
    assert plan.method is not None
    if plan.method == PRIOR:
        return finite(deep_prior(images, known=plan.known, device=request.device), PRIOR)
    needs = classical.METHODS[plan.method].needs
    options = {"noise": plan.noise, "kernels": plan.kernels, "known": plan.known, "scale": plan.times}
    told = {name: value for name, value in options.items() if name in needs and value is not None}
    return finite(classical.apply(plan.method, images, **told), plan.method)


def _method_memory(plan: Remedy, images: Images) -> float:
    """Bytes that a method without weights takes for one picture; 0 for a network, whose tiles are as large as fits."""
    if plan.method is None:
        return 0.0
    pixels = images.shape[2] * images.shape[3]
    if plan.method == PRIOR:
        return BASE + MEMORY * pixels
    method, missing = classical.METHODS[plan.method], 0 if plan.known is None else int((plan.known == 0).sum())
    return BASE + method.memory * pixels * plan.scale**2 * images.shape[1] / 3 + method.memory_missing * missing


def _opacity(picture: Picture, made: Maps) -> Any:
    """Opacity at the size of the result."""
    if picture.alpha is None or tuple(picture.alpha.shape[:2]) == tuple(made.shape[2:]):
        return picture.alpha
    return as_pixels(enlarged(as_images(picture.alpha), made.shape[2] // picture.alpha.shape[0]), picture.alpha.dtype)


def _known(mask: Path, picture: Picture) -> Planes:
    """1 where the mask is dark or clear. Raises ImageError if it is of another size, or bright nowhere or everywhere."""
    drawn = files.read(mask)
    h, w = picture.pixels.shape[:2]
    if tuple(drawn.pixels.shape[:2]) != (h, w):
        own = " x ".join(map(str, drawn.pixels.shape[:2]))
        raise ImageError(f"{mask}: the mask is {own} pixels, the picture {h} x {w}; they must be the same")
    bright = as_images(drawn.pixels).amax(dim=1, keepdim=True)
    return dark(bright if drawn.alpha is None else bright * as_images(drawn.alpha), str(mask))


def _quality(picture: Picture) -> int | None:
    return picture.jpeg.quality() if picture.jpeg else None
