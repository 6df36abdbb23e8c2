"""The verb `restore` in Python: a picture in, the repaired picture out, of the same kind."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.core.errors import ImageError
from sfumato.core.image import Planes
from sfumato.core.runtime import Precision
from sfumato.data import decode
from sfumato.jobs.remedy import Find, Request, Task, remedy
from sfumato.jobs.repair import as_images, as_pixels, repaired
from sfumato.nn.resample import resize
from sfumato.store import weights


def restore(
    picture: Tensor | Image.Image | str | Path,
    model: Any = None,
    *,
    task: Task = "auto",
    mask: Tensor | Image.Image | str | Path | None = None,
    scale: int = 2,
    strength: float = 1.0,
    method: str | None = None,
    noise: float | None = None,
    blur: str | None = None,
    find: tuple[Find, ...] = (),
    precision: Precision = "fp32",
    device: str = "auto",
) -> Any:
    """The picture, repaired: a tensor for a tensor, a PIL image for a PIL image or a path.

    Tensors are images in [0, 1], (n, c, h, w) or (c, h, w), each looked at for itself. `model` is a bundled name, a run folder, a file
    or a network, by default the bundled one for the `task`; `mask` is bright where to fill in, of the picture's size. The other
    arguments are as in `Request`. For files, with all that they say beside their pixels, there is `restore_pictures`. Raises
    SettingError for a request that cannot be, ImageError for a picture or a mask that cannot be used.
    """
    network = weights.load(model) if isinstance(model, str | Path) else model
    request = Request(
        task=task,
        model=network,
        method=method,
        scale=scale,
        strength=strength,
        noise=noise,
        blur=blur,
        find=find,
        precision=precision,
        device=device,
    )
    request.check()
    known = None if mask is None else _known(mask)
    if isinstance(picture, Tensor):
        if picture.ndim not in (3, 4) or not picture.is_floating_point():
            raise ImageError(
                f"a tensor of shape {tuple(picture.shape)} and {picture.dtype} is not images (n, c, h, w) or (c, h, w) in [0, 1]"
            )
        images = picture if picture.ndim == 4 else picture[None]
        made = torch.cat([_one(image[None].float().cpu(), known, request) for image in images])
        return (made if picture.ndim == 4 else made[0]).to(picture.device)
    image = Image.open(picture) if isinstance(picture, str | Path) else picture
    return _pil(image, known, request)


def _one(images: Tensor, known: Planes | None, request: Request) -> Tensor:
    if known is not None and known.shape[2:] != images.shape[2:]:
        mine, its = (" x ".join(map(str, x.shape[2:])) for x in (known, images))
        raise ImageError(f"the mask is {mine} pixels, the picture {its}; they must be the same")
    plan = remedy(request, images, known=known)
    return images if plan.nothing else repaired(images, plan, request)


def _pil(image: Image.Image, known: Planes | None, request: Request) -> Image.Image:
    """Opacity is kept, at the size of the result."""
    channels = 4 if image.has_transparency_data else 1 if image.mode in ("1", "L", "I;16", "I") else 3
    pixels = torch.from_numpy(np.array(decode.convert(image, channels)).reshape(image.height, image.width, channels))
    made = as_pixels(_one(as_images(pixels[..., :3].contiguous()), known, request), torch.uint8)
    if channels == 4:
        h, w = made.shape[:2]
        made = torch.cat([made, as_pixels(resize(as_images(pixels[..., 3:].contiguous()), (h, w)), torch.uint8)], dim=-1)
    return Image.fromarray(made.squeeze(-1).numpy())


def _known(mask: Tensor | Image.Image | str | Path) -> Planes:
    if isinstance(mask, Tensor):
        bright = mask.float().reshape(1, -1, *mask.shape[-2:]).mean(dim=1, keepdim=True)
    else:
        image = Image.open(mask) if isinstance(mask, str | Path) else mask
        bright = as_images(torch.from_numpy(np.array(decode.convert(image, 1))[..., None]))
    known = (bright < 0.5).float()
    if bool((known == 1).all()):
        raise ImageError("nothing is masked; bright says where to fill in")
    return known
