"""Restoration of one picture file into another, with its metadata.

    file ─ read ─ plan ─ Work ─ write ─> file

The work between reading and writing may be done for several pictures in one batch (`batch.py`). Pictures that do not fit into memory go
through `repair_rows.py`.
"""

import dataclasses
import math
from collections.abc import Generator
from pathlib import Path

import torch
from torch import Tensor

from sfumato.core import atomic_io
from sfumato.core.errors import MissingExtraError
from sfumato.core.extras import install
from sfumato.core.tensors import Maps
from sfumato.io import decode, files, streaming
from sfumato.io.channels import as_images, as_pixels, enlarge_opacity, fill_transparent, keep_transparent
from sfumato.io.files import Picture
from sfumato.restoration import upscaling
from sfumato.restoration.batch import Work, run_together
from sfumato.restoration.holes import masked
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan, make_plan
from sfumato.restoration.repair_rows import repair_rows
from sfumato.restoration.request import RestorationRequest

_WHOLE = 120
"""Bytes for each pixel of a picture that is held whole, input and output, with all copies."""


Repairing = Generator[Work, Maps, RestorationPlan]
"""The repair of one file: yields its `Work` if there is any, is sent the result of `run_together`, and returns its plan."""


def repair(
    path: Path,
    target: Path,
    request: RestorationRequest,
    *,
    mask: Path | None = None,
    check: atomic_io.Check | None = None,
    networks: Networks | None = None,
) -> RestorationPlan:
    """Repairs the picture at `path` into `target` and returns the plan, whose `summary` is one line.

    Size, bit depth, opacity, colour profile and other metadata are kept. A picture that would not fit into the memory of the request is
    repaired some rows at a time. `check` is called with the finished file right before it replaces `target`; if it raises, `target` stays.
    `networks` are those of a run of many pictures. Raises ImageError for a picture or a mask that cannot be used.
    """
    networks = networks or Networks(request.backend)
    steps = repairing(path, target, request, mask=mask, check=check, networks=networks)
    try:
        (output,) = run_together([next(steps)], networks)
        steps.send(output)
    except StopIteration as end:
        plan: RestorationPlan = end.value
        return plan
    raise AssertionError("a repair ends after its work")


def repairing(
    path: Path,
    target: Path,
    request: RestorationRequest,
    *,
    mask: Path | None,
    check: atomic_io.Check | None,
    networks: Networks,
    pixels: float | None = None,
    file: decode.Opened | None = None,
) -> Repairing:
    """`repair` in two steps, between which the caller does the work; `pixels` is the number of pixels, if known.

    `file` is the open file at `path`, if the caller has opened it; it is not read after the work is yielded.
    """
    pixels = streaming.megapixels(path, file=file) * 1e6 if pixels is None else pixels
    need = BASE + held(pixels, request)
    if pixels > decode.MAX_PIXELS or need > request.memory:
        enough = "" if pixels > decode.MAX_PIXELS else f"{math.ceil(need / 1e8) / 10:.1f}GB of --memory, or "
        streaming.refuse_whole(path, mask, option=enough, memory=request.memory - BASE)
        try:
            return repair_rows(path, target, request, mask, check, networks)
        except MissingExtraError as error:
            raise MissingExtraError(f"{path}: needs {enough}pyvips, to be read in strips; install it with: {install('pyvips')}") from error
    picture, observed = masked(files.read(path, lossless=True, file=file), mask, path, request)
    images = as_images(picture.pixels)
    if picture.alpha is not None:
        images = fill_transparent(images, as_images(picture.alpha))
    quality = picture.jpeg.quality() if picture.jpeg else None
    plan = make_plan(request, images, observed=observed, quality=quality, networks=networks)
    if plan.nothing:
        if files.same_format(path, target, file=file):
            files.copy(path, target, file=file, check=check)
        else:
            files.write(target, picture, check=check)
            plan = _noted(plan, picture)
        return plan
    output = yield Work(images=images, plan=plan, request=request)
    files.write(target, _finished(picture, output), check=check)
    return _noted(plan, picture)


def held(pixels: float, request: RestorationRequest) -> float:
    """Bytes of memory for a picture of so many pixels that is held whole during its repair, without those of the network."""
    enlarged = _largest_scale(request) ** 2 if request.task == "upscale" else 1
    return pixels * (1 + enlarged) * _WHOLE / 2


def _largest_scale(request: RestorationRequest) -> float:
    """The largest factor that the sides have during the task upscale."""
    if request.scale is None or request.method is not None:
        return request.scale or 4
    return max(request.scale, *(upscaling.reached(request.scale, kind) for kind in request.upscalers))


def _finished(picture: Picture, output: Maps) -> Picture:
    """The picture with repaired pixels, and all metadata."""
    if picture.alpha is not None:
        output = keep_transparent(output, as_images(picture.pixels), as_images(picture.alpha))
    pixels, alpha = as_pixels(output, picture.pixels.dtype), _opacity(picture, output)
    jpeg = picture.jpeg if torch.equal(pixels, picture.pixels) else picture.fine_jpeg
    return dataclasses.replace(picture, pixels=pixels, alpha=alpha, jpeg=jpeg)


def _noted(plan: RestorationPlan, picture: Picture) -> RestorationPlan:
    """The plan, with a summary that names metadata which the result lacks."""
    return dataclasses.replace(plan, summary=f"{plan.summary} ({picture.left_out})") if picture.left_out else plan


def _opacity(picture: Picture, output: Maps) -> Tensor | None:
    """The opacity at the size of the result."""
    if picture.alpha is None or tuple(picture.alpha.shape[:2]) == tuple(output.shape[2:]):
        return picture.alpha
    return as_pixels(enlarge_opacity(as_images(picture.alpha), (output.shape[2], output.shape[3])), picture.alpha.dtype)
