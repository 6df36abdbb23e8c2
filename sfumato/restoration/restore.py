"""The verb `restore` in Python: a picture in, the repaired picture out, of the same kind."""

import dataclasses
import functools
from pathlib import Path
from typing import TypedDict, Unpack, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.core.device import Precision, default_memory
from sfumato.core.errors import ImageError
from sfumato.core.progress import remark
from sfumato.core.tensors import Images, Maps, Planes, size_text
from sfumato.io import masks as mask_files
from sfumato.io.channels import enlarge_opacity, fill_transparent, keep_transparent
from sfumato.io.files import Picture
from sfumato.io.inputs import BinaryFile, InputPicture, PictureInput, brightness, convert
from sfumato.restoration.batch import repaired
from sfumato.restoration.holes import check_mask, mask_options, observed_by_opacity
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan, make_plan
from sfumato.restoration.repair import held
from sfumato.restoration.request import Find, Look, Quality, RestorationRequest, Task, Ways
from sfumato.restoration.result import Restored, RestoredArray, RestoredImage, RestoredTensor, as_restored
from sfumato.store import weights
from sfumato.store.export.backend import Backend
from sfumato.store.loaded import Model


class HoleOptions(TypedDict):
    """What is filled in."""

    find: tuple[Find, ...]
    grow_mask: int
    invert_mask: bool
    alpha_mask: bool


class RestoreOptions(TypedDict, total=False):
    """The arguments of `restore` by name."""

    task: Task
    mask: PictureInput | None
    scale: float | None
    quality: Quality
    look: Look
    strength: float
    method: str | None
    noise: float | None
    blur: str | None
    find: tuple[Find, ...]
    grow_mask: int
    invert_mask: bool
    precision: Precision
    ensemble: Ways
    backend: Backend
    memory: float | None
    device: str


@overload
def restore(picture: Tensor, model: Model | None = None, **options: Unpack[RestoreOptions]) -> RestoredTensor: ...
@overload
def restore(picture: np.ndarray, model: Model | None = None, **options: Unpack[RestoreOptions]) -> RestoredArray: ...
@overload
def restore(picture: Picture, model: Model | None = None, **options: Unpack[RestoreOptions]) -> Picture: ...
@overload
def restore(
    picture: str | Path | bytes | bytearray | BinaryFile | Image.Image, model: Model | None = None, **options: Unpack[RestoreOptions]
) -> RestoredImage: ...
def restore(
    picture: PictureInput,
    model: Model | None = None,
    *,
    task: Task = "auto",
    mask: PictureInput | None = None,
    scale: float | None = None,
    quality: Quality = "standard",
    look: Look = "faithful",
    strength: float = 1.0,
    method: str | None = None,
    noise: float | None = None,
    blur: str | None = None,
    find: tuple[Find, ...] = (),
    grow_mask: int = 0,
    invert_mask: bool = False,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    backend: Backend = "torch",
    memory: float | None = None,
    device: str = "auto",
) -> Restored:
    """The picture, repaired, in the same kind: a tensor for a tensor, an array for an array, a PIL image for a file or a PIL image.

    `picture` is a path, bytes, an open binary file, a PIL image, an array or a tensor, as the table in `io/inputs.py` says; each image of
    a tensor is diagnosed for itself. The result has `save(path, overwrite=False)` and `plans`, one `RestorationPlan` for each image.
    `model` is a bundled name, a run folder, a file or a network, by default the bundled one for the `task`. `mask`, of any of these kinds
    and of the picture's size, is bright where to fill in; if it is "alpha", all pixels of the picture that are not opaque are filled in,
    and the result has no opacity. `memory` is in bytes, by default a third of the machine's. The other arguments are those of
    `RestorationRequest`. Files with their metadata, and pictures larger than memory, are repaired by `restore_pictures`. Raises
    SettingError for a request that cannot be carried out, ImageError for a picture or a mask that cannot be used, or for a picture that
    takes more than the memory.
    """
    request = RestorationRequest(
        model=None if model is None else weights.model_of(model),
        task=task,
        method=method,
        scale=scale,
        quality=quality,
        look=look,
        strength=strength,
        noise=noise,
        blur=blur,
        **HoleOptions(find=find, grow_mask=grow_mask, invert_mask=invert_mask, alpha_mask=mask_files.is_alpha(mask)),
        precision=precision,
        ensemble=ensemble,
        backend=backend,
        memory=default_memory() if memory is None else memory,
        device=device,
    )
    return carried_out(picture, mask, request)


def carried_out(
    picture: PictureInput, mask: PictureInput | None, request: RestorationRequest, networks: Networks | None = None
) -> Restored:
    """The result of a request, as `restore` returns it; `networks` may be those of many pictures."""
    request.check()
    check_mask(request, mask)
    source = convert(picture, several=True, lossless=True, own_range=True, check=functools.partial(_refuse_large, request=request))
    return _restored(source, request, None if mask is None else _observed(mask, source, request), networks or Networks(request.backend))


def _restored(source: InputPicture, request: RestorationRequest, observed: Planes | None, networks: Networks) -> Restored:
    """Every image repaired, as the kind of the source. Raises ImageError for another number of masks than of images."""
    if request.alpha_mask:
        source = dataclasses.replace(source, alpha=None)
    images = source.images if source.alpha is None else fill_transparent(source.images, source.alpha)
    masks = [observed] * len(images) if observed is None or len(observed) == 1 else list(observed.split(1))
    if len(masks) != len(images):
        raise ImageError(f"{len(masks)} masks for {len(images)} images; give one, or one for each")
    results = [_one(image, own, request, networks, quality=source.quality) for image, own in zip(images.split(1), masks, strict=True)]
    output, plans = torch.cat([image for image, _ in results]), tuple(plan for _, plan in results)
    if source.alpha is None:
        return as_restored(source.output(output, None), plans)
    opacity = enlarge_opacity(source.alpha, (output.shape[2], output.shape[3]))
    return as_restored(source.output(keep_transparent(output, source.images, source.alpha), opacity), plans)


def _refuse_large(name: str, pixels: int, *, request: RestorationRequest) -> None:
    """Raises ImageError for a picture whose repair takes more than the memory of the request, before it is decoded."""
    if (need := BASE + held(pixels, request)) > request.memory:
        raise ImageError(
            f"{name}: {pixels / 1e6:.1f} megapixels take {need / 1e9:.1f} GB, more than memory = {request.memory / 1e9:.1f} GB; give more, "
            "or use restore_pictures, which repairs a large file some rows at a time"
        )


def _one(
    images: Images, observed: Maps | None, request: RestorationRequest, networks: Networks, *, quality: int | None = None
) -> tuple[Maps, RestorationPlan]:
    """One image repaired, and the plan that was carried out. Raises ImageError for a mask of another size."""
    if observed is not None and observed.shape[2:] != images.shape[2:]:
        mask_size, image_size = (size_text(x.shape[2:]) for x in (observed, images))
        raise ImageError(f"the mask is {mask_size} pixels, the picture {image_size}; they must be the same")
    plan = make_plan(request, images, observed=observed, quality=quality, networks=networks)
    if plan.warning:
        remark(plan.warning)
    return (images if plan.nothing else repaired(images, plan, request, networks)), plan


def _observed(mask: PictureInput, source: InputPicture, request: RestorationRequest) -> Planes:
    """1 where pixels are kept, for all images or for each of them. Raises ImageError for a mask that cannot be used."""
    if request.alpha_mask:
        return observed_by_opacity(source.alpha, source.name, request)
    bright = brightness(mask).split(1)
    names = ["the mask"] if len(bright) == 1 else [f"mask {i} of {len(bright)}" for i in range(1, len(bright) + 1)]
    return torch.cat([mask_files.observed(one, name, mask_options(request)) for one, name in zip(bright, names, strict=True)])
