"""The verb `restore` in Python: a picture in, the repaired picture out, of the same kind."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from sfumato.analysis.jpeg import tables_quality
from sfumato.core.device import Precision, default_memory
from sfumato.core.errors import ImageError
from sfumato.core.tensors import Planes, size_text
from sfumato.io import decode, metadata
from sfumato.io.channels import as_images, as_pixels, bled, dark, enlarged, hidden
from sfumato.restoration.batch import repaired
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.repair import held
from sfumato.restoration.request import Find, RestorationRequest, Task, Ways
from sfumato.store import weights
from sfumato.store.loaded import Model

_LARGEST = 8.0
"""Beyond what noise does to images in [0, 1]; where there is more, they were meant otherwise."""


def restore(
    picture: Tensor | Image.Image | str | Path,
    model: Model | None = None,
    *,
    task: Task = "auto",
    mask: Tensor | Image.Image | str | Path | None = None,
    scale: int | None = None,
    strength: float = 1.0,
    method: str | None = None,
    noise: float | None = None,
    blur: str | None = None,
    find: tuple[Find, ...] = (),
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    memory: float | None = None,
    device: str = "auto",
) -> Any:
    """The picture, repaired: a tensor for a tensor, a PIL image for a PIL image or a path.

    Tensors are images in [0, 1], (n, c, h, w) or (c, h, w), each looked at for itself. `model` is a bundled name, a run folder, a file
    or a network, by default the bundled one for the `task`; `mask` is bright where to fill in, of the picture's size; `memory` is in
    bytes, by default what the command takes: a third of the machine's. The other arguments are as in `Request`. For files, with all that
    they say beside their pixels, and for those larger than memory, there is `restore_pictures`. Raises SettingError for a request that
    cannot be, ImageError for a picture or a mask that cannot be used, or a picture that takes more than the memory.
    """
    network = None if model is None else weights.model_of(model)
    request = RestorationRequest(
        task=task,
        model=network,
        method=method,
        scale=scale,
        strength=strength,
        noise=noise,
        blur=blur,
        find=find,
        precision=precision,
        ensemble=ensemble,
        memory=default_memory() if memory is None else memory,
        device=device,
    )
    request.check()
    known = None if mask is None else _observed(mask)
    if isinstance(picture, Tensor):
        if picture.ndim not in (3, 4) or not picture.is_floating_point():
            raise ImageError(
                f"a tensor of shape {tuple(picture.shape)} and {picture.dtype} is not images (n, c, h, w) or (c, h, w) in [0, 1]"
            )
        if not picture.numel():
            raise ImageError(f"a tensor of shape {tuple(picture.shape)} has no pixels; images are (n, c, h, w) or (c, h, w)")
        images = picture if picture.ndim == 4 else picture[None]
        if not torch.isfinite(images).all():
            raise ImageError("the tensor holds NaN or infinite numbers; images are in [0, 1]")
        if images.abs().max() > _LARGEST:
            raise ImageError(f"the tensor holds numbers up to {images.abs().max().item():.4g}; images are in [0, 1]")
        _refuse_large("the tensor", images.shape[2] * images.shape[3], request)
        masks = [known] * len(images) if known is None or len(known) == 1 else list(known.split(1))
        if len(masks) != len(images):
            raise ImageError(f"{len(masks)} masks for {len(images)} images; give one, or one for each")
        networks = Networks()
        made = torch.cat([_one(image[None].float().cpu(), own, request, networks) for image, own in zip(images, masks, strict=True)])
        return (made if picture.ndim == 4 else made[0]).to(picture.device)
    return _pil(*_opened(picture, request), known, request)


def _refuse_large(name: str, pixels: float, request: RestorationRequest) -> None:
    """Raises ImageError for a picture whose repair takes more than the memory of the request, before it is decoded."""
    if (need := BASE + held(pixels, request)) > request.memory:
        raise ImageError(
            f"{name}: {pixels / 1e6:.1f} megapixels take {need / 1e9:.1f} GB, more than memory = {request.memory / 1e9:.1f} GB; give more, "
            "or use restore_pictures, which repairs a large file some rows at a time"
        )


def _one(
    images: Tensor, observed: Planes | None, request: RestorationRequest, networks: Networks | None = None, *, quality: int | None = None
) -> Tensor:
    if observed is not None and observed.shape[2:] != images.shape[2:]:
        mine, its = (size_text(x.shape[2:]) for x in (observed, images))
        raise ImageError(f"the mask is {mine} pixels, the picture {its}; they must be the same")
    networks = networks or Networks()
    plan = make_plan(request, images, observed=observed, quality=quality, networks=networks)
    return images if plan.nothing else repaired(images, plan, request, networks)


def _opened(picture: Image.Image | str | Path, request: RestorationRequest | None = None) -> tuple[Image.Image, int | None]:
    """The picture, upright, and the quality of its JPEG if it is one.

    Raises ImageError for a file that is no picture, or is more than an image of this kind can hold, and for what takes more than the
    memory of a `request`.
    """
    if isinstance(picture, Image.Image):
        if request is not None:
            _refuse_large("the image", math.prod(picture.size), request)
        quality = _quality(picture)  # before it is loaded
        return _upright(picture), quality
    path = Path(picture)
    with decode.reading(str(path)), path.open("rb") as file:
        found = metadata.samples(path, file=file)
        if found.bits == 16 and found.channels > 1:
            raise ImageError("no PIL image holds 16 bits of colour; restore_pictures repairs it from file to file")
        with decode.opened(file, str(path)) as image:
            if request is not None:
                _refuse_large(str(path), math.prod(image.size), request)
            decode.refuse_several(image)
            jpeg = metadata.of_file(path, file=file, image=image)[0].jpeg
            return _upright(image), jpeg.quality() if jpeg else None


def _upright(image: Image.Image) -> Image.Image:
    if not min(image.size):
        raise ImageError(f"an image of {size_text((image.height, image.width))} pixels has no pixels")
    if image.mode in decode.WIDE and "transparency" in image.info:
        raise ImageError("no PIL image holds 16 bits and opacity; restore_pictures repairs it from file to file")
    upright = decode.upright(image)
    upright.load()
    return upright.convert("LA") if upright.mode == "La" else upright  # Pillow converts La into nothing else


def _quality(image: Image.Image) -> int | None:
    """That of a JPEG; nothing of what is none, or of an image that has been loaded: its pixels may be others by now."""
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.tile and not image.decoderconfig and image.quantization:
        return tables_quality([table for _, table in sorted(image.quantization.items())])
    return None


def _pil(image: Image.Image, quality: int | None, observed: Planes | None, request: RestorationRequest) -> Image.Image:
    """In the same mode, but for palettes and the like, which become colour. Opacity is kept, at the size of the result.

    Colour profile, resolution, EXIF and comment are in its `info`, for whoever saves it.
    """
    made = _wide(image, observed, request) if image.mode in decode.WIDE else _layers(image, observed, request, quality)
    # The profile of CMYK would say nothing about the RGB that it becomes.
    kept = ("dpi", "exif", "comment") if image.mode in ("CMYK", "LAB") else ("icc_profile", "dpi", "exif", "comment")
    made.info = {name: image.info[name] for name in kept if name in image.info}
    return made


def _wide(image: Image.Image, observed: Planes | None, request: RestorationRequest) -> Image.Image:
    wide = torch.from_numpy(decode.sixteen(image)[..., None])
    return Image.fromarray(as_pixels(_one(as_images(wide), observed, request), torch.uint16)[..., 0].numpy())


def _layers(image: Image.Image, observed: Planes | None, request: RestorationRequest, quality: int | None) -> Image.Image:
    clear = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    pixels = torch.from_numpy(np.array(decode.convert(image, 4 if clear else 1 if grey else 3)).reshape(image.height, image.width, -1))
    images = as_images(pixels[..., : 1 if grey else 3].contiguous())
    if not clear:
        made = _one(images, observed, request, quality=quality)
        return Image.fromarray(as_pixels(made, torch.uint8).squeeze(-1).numpy())
    alpha = as_images(pixels[..., 3:].contiguous())
    made = hidden(_one(bled(images, alpha), observed, request), images, alpha)
    layers = [as_pixels(made, torch.uint8).expand(-1, -1, 3), as_pixels(enlarged(alpha, made.shape[2] // images.shape[2]), torch.uint8)]
    whole = Image.fromarray(torch.cat(layers, dim=-1).numpy())
    return whole.convert("LA") if grey else whole


def _observed(mask: Tensor | Image.Image | str | Path) -> Planes:
    """For all images, or for each of them."""
    if isinstance(mask, Tensor):
        if mask.ndim > 4 or mask.ndim < 2 or not mask.numel():
            raise ImageError(f"a mask of shape {tuple(mask.shape)} is none of (h, w), (1, h, w), (n, 1, h, w)")
        bright = mask.float().reshape(-1 if mask.ndim == 4 else 1, mask.shape[-3] if mask.ndim > 2 else 1, *mask.shape[-2:])
        names = ["the mask"] if len(bright) == 1 else [f"mask {i} of {len(bright)}" for i in range(1, len(bright) + 1)]
        return torch.cat([dark(one, name) for one, name in zip(bright.amax(dim=1, keepdim=True).split(1), names, strict=True)])
    layers = as_images(torch.from_numpy(np.array(decode.convert(_opened(mask)[0], 4))))
    return dark(layers[:, :3].amax(dim=1, keepdim=True) * layers[:, 3:], "the mask")
