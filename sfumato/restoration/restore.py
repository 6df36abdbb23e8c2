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
from sfumato.io import decode, masks, metadata
from sfumato.io.channels import as_images, as_pixels, enlarge_opacity, fill_transparent, keep_transparent
from sfumato.restoration.batch import repaired
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.repair import held
from sfumato.restoration.request import Find, RestorationRequest, Task, Ways
from sfumato.store import weights

_LARGEST = 8.0
"""Greatest absolute value of a tensor of images: noise on images in [0, 1] stays below."""


def restore(
    picture: Tensor | Image.Image | str | Path,
    model: Any = None,
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
    """The repaired picture: a tensor for a tensor, a PIL image for a PIL image or a path.

    Tensors are images in [0, 1], (n, c, h, w) or (c, h, w); each gets a plan of its own. `model` is a bundled name, a run folder, a file
    or a network, by default the bundled one for the `task`; `mask` has the size of the picture and is bright where to fill in; `memory` is
    in bytes, by default that of the command: a third of the machine's. The other arguments are as in `RestorationRequest`. For files with
    their metadata, and for pictures larger than memory, use `restore_pictures`. Raises SettingError for an invalid request, ImageError for
    a picture or a mask that cannot be used, and for a picture that takes more than the memory.
    """
    network = weights.load(model) if isinstance(model, str | Path) else model
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
    observed = None if mask is None else _observed(mask)
    if isinstance(picture, Tensor):
        return _restored_tensor(picture, observed, request)
    return _pil(*_opened(picture, request), observed, request)


def _restored_tensor(picture: Tensor, observed: Planes | None, request: RestorationRequest) -> Tensor:
    """The images of a tensor, each repaired alone, on the device of the tensor. Raises ImageError for a tensor that holds no images."""
    images = _images_of(picture)
    _refuse_large("the tensor", images.shape[2] * images.shape[3], request)
    masks = [observed] * len(images) if observed is None or len(observed) == 1 else list(observed.split(1))
    if len(masks) != len(images):
        raise ImageError(f"{len(masks)} masks for {len(images)} images; give one, or one for each")
    networks = Networks()
    output = torch.cat([_one(image[None].float().cpu(), own, request, networks) for image, own in zip(images, masks, strict=True)])
    return (output if picture.ndim == 4 else output[0]).to(picture.device)


def _images_of(picture: Tensor) -> Tensor:
    """`picture` as images (n, c, h, w). Raises ImageError for another shape or type, and for numbers far outside [0, 1]."""
    if picture.ndim not in (3, 4) or not picture.is_floating_point():
        raise ImageError(f"a tensor of shape {tuple(picture.shape)} and {picture.dtype} is not images (n, c, h, w) or (c, h, w) in [0, 1]")
    if not picture.numel():
        raise ImageError(f"a tensor of shape {tuple(picture.shape)} has no pixels; images are (n, c, h, w) or (c, h, w)")
    if not torch.isfinite(picture).all():
        raise ImageError("the tensor holds NaN or infinite numbers; images are in [0, 1]")
    if picture.abs().max() > _LARGEST:
        raise ImageError(f"the tensor holds numbers up to {picture.abs().max().item():.4g}; images are in [0, 1]")
    return picture if picture.ndim == 4 else picture[None]


def _refuse_large(name: str, pixels: float, request: RestorationRequest) -> None:
    """Raises ImageError for a picture whose repair takes more than the memory of the request; called before decoding."""
    if (need := BASE + held(pixels, request)) > request.memory:
        raise ImageError(
            f"{name}: {pixels / 1e6:.1f} megapixels take {need / 1e9:.1f} GB, more than memory = {request.memory / 1e9:.1f} GB; give more, "
            "or use restore_pictures, which repairs a large file some rows at a time"
        )


def _one(
    images: Tensor, observed: Planes | None, request: RestorationRequest, networks: Networks | None = None, *, quality: int | None = None
) -> Tensor:
    """One image, (1, c, h, w), repaired by a plan of its own. Raises ImageError for a mask of another size."""
    if observed is not None and observed.shape[2:] != images.shape[2:]:
        mine, its = (size_text(x.shape[2:]) for x in (observed, images))
        raise ImageError(f"the mask is {mine} pixels, the picture {its}; they must be the same")
    networks = networks or Networks()
    plan = make_plan(request, images, observed=observed, quality=quality, networks=networks)
    return images if plan.nothing else repaired(images, plan, request, networks)


def _opened(picture: Image.Image | str | Path, request: RestorationRequest | None = None) -> tuple[Image.Image, int | None]:
    """The picture, upright, and the quality of its JPEG if it is one.

    Raises ImageError for a file that is no picture, for 16 bits of colour, which no PIL image holds, and for a picture that takes more than
    the memory of a `request`.
    """
    if isinstance(picture, Image.Image):
        if request is not None:
            _refuse_large("the image", math.prod(picture.size), request)
        quality = _quality(picture)  # before it is loaded
        return _upright(picture), quality
    path = Path(picture)
    with decode.reading(str(path)), path.open("rb") as file:
        samples = metadata.sample_format(path, file=file)
        if samples.bits == 16 and samples.channels > 1:
            raise ImageError("no PIL image holds 16 bits of colour; restore_pictures repairs it from file to file")
        with decode.opened(file, str(path)) as image:
            if request is not None:
                _refuse_large(str(path), math.prod(image.size), request)
            decode.refuse_several(image)
            jpeg = metadata.read(path, file=file, image=image)[0].jpeg
            return _upright(image), jpeg.quality() if jpeg else None


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned by its EXIF orientation. Raises ImageError for no pixels, and for 16 bits with opacity."""
    if not min(image.size):
        raise ImageError(f"an image of {size_text((image.height, image.width))} pixels has no pixels")
    if image.mode in decode.WIDE and "transparency" in image.info:
        raise ImageError("no PIL image holds 16 bits and opacity; restore_pictures repairs it from file to file")
    upright = decode.upright(image)
    upright.load()
    return upright.convert("LA") if upright.mode == "La" else upright  # Pillow converts La into nothing else


def _quality(image: Image.Image) -> int | None:
    """The quality of a JPEG; None for other images, and for an image that is decoded, whose pixels may have changed."""
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.tile and not image.decoderconfig and image.quantization:
        return tables_quality([table for _, table in sorted(image.quantization.items())])
    return None


def _pil(image: Image.Image, quality: int | None, observed: Planes | None, request: RestorationRequest) -> Image.Image:
    """The repaired image in the same mode (palettes become colour), with its opacity at the size of the result.

    Colour profile, resolution, EXIF and comment are in its `info`, from which Pillow saves them.
    """
    output = _wide(image, observed, request) if image.mode in decode.WIDE else _layers(image, observed, request, quality)
    # A profile of CMYK does not apply to the RGB result.
    kept = ("dpi", "exif", "comment") if image.mode in ("CMYK", "LAB") else ("icc_profile", "dpi", "exif", "comment")
    output.info = {name: image.info[name] for name in kept if name in image.info}
    return output


def _wide(image: Image.Image, observed: Planes | None, request: RestorationRequest) -> Image.Image:
    """A grey image of 16 bits, repaired."""
    wide = torch.from_numpy(decode.sixteen_bit(image)[..., None])
    return Image.fromarray(as_pixels(_one(as_images(wide), observed, request), torch.uint16)[..., 0].numpy())


def _layers(image: Image.Image, observed: Planes | None, request: RestorationRequest, quality: int | None) -> Image.Image:
    """An image of 8 bits, repaired; with its opacity if it has any."""
    clear = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    pixels = torch.from_numpy(np.array(decode.convert(image, 4 if clear else 1 if grey else 3)).reshape(image.height, image.width, -1))
    images = as_images(pixels[..., : 1 if grey else 3].contiguous())
    if not clear:
        output = _one(images, observed, request, quality=quality)
        return Image.fromarray(as_pixels(output, torch.uint8).squeeze(-1).numpy())
    alpha = as_images(pixels[..., 3:].contiguous())
    output = keep_transparent(_one(fill_transparent(images, alpha), observed, request), images, alpha)
    layers = [
        as_pixels(output, torch.uint8).expand(-1, -1, 3),
        as_pixels(enlarge_opacity(alpha, output.shape[2] // images.shape[2]), torch.uint8),
    ]
    whole = Image.fromarray(torch.cat(layers, dim=-1).numpy())
    return whole.convert("LA") if grey else whole


def _observed(mask: Tensor | Image.Image | str | Path) -> Planes:
    """The mask as planes: 1 where dark. One for all images, or one for each. Raises ImageError for a mask that cannot be used."""
    if isinstance(mask, Tensor):
        if mask.ndim > 4 or mask.ndim < 2 or not mask.numel():
            raise ImageError(f"a mask of shape {tuple(mask.shape)} is none of (h, w), (1, h, w), (n, 1, h, w)")
        bright = mask.float().reshape(-1 if mask.ndim == 4 else 1, mask.shape[-3] if mask.ndim > 2 else 1, *mask.shape[-2:])
        names = ["the mask"] if len(bright) == 1 else [f"mask {i} of {len(bright)}" for i in range(1, len(bright) + 1)]
        return torch.cat([masks.observed(one, name) for one, name in zip(masks.brightness(bright).split(1), names, strict=True)])
    layers = as_images(torch.from_numpy(np.array(decode.convert(_opened(mask)[0], 4))))
    return masks.observed(masks.brightness(layers[:, :3], layers[:, 3:]), "the mask")
