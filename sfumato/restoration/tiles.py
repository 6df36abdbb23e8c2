"""Repair images of any size with any network that repairs, whole or in tiles.

    canvas ─ tile with its context ─ extend to the network's multiple ─ channels ─ network ─ cut ─ clamp ─ rows of the clean image

A tile is given as much of what surrounds it as its result depends on (the network's `receptive_radius`) and is never continued beyond the
image's own border, so the tiles together are what the whole image would have given. A canvas hands out rows when they are asked for:
it may be a tensor, or a file that is larger than memory.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sfumato.classical.deconvolve import fitting
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import Precision, autocast, channels_last, select_device, select_precision
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import finite
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Kernels, Maps, Planes, Resized
from sfumato.models.roles.restorer import Deblurrer, Restorer, WithKernel
from sfumato.nn.convolution import fused
from sfumato.nn.norm import folded
from sfumato.nn.resample import mirrored
from sfumato.store import weights
from sfumato.store.loaded import Model

Span = tuple[int, int]
Tile = int | tuple[int, int]
"""Pixels a side that are computed at once, without their context; or how many from top to bottom, and how many across."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Images that are handed out a few rows at a time."""

    size: tuple[int, int]
    rows: Callable[[int, int], tuple[Maps, Planes | None]]
    """From the first row and the one after the last: those rows, in [0, 1], and a channel for each plane that the network takes."""


@renamed_arguments(known="observed")
@torch.no_grad()
def apply_restorer(
    model: Model,
    images: Images,
    *,
    noise: float | Maps | None = None,
    observed: Maps | None = None,
    quality: float | Maps | None = None,
    kernels: Kernels | None = None,
    tile: Tile | None = None,
    precision: Precision = "fp32",
    device: str = "auto",
) -> Maps:
    """Clean images in [0, 1], on the CPU, `scale` times as large as `images`.

    `noise` (standard deviation, as a share of full scale), `observed` (1 where a pixel is seen, 0 where it is missing) and `quality` (of
    the JPEG, over 100) are for networks that want to know them, and `kernels`, the blur of each image, for those that undo it and want one
    number for the noise of an image. A network of grey images repairs each channel of colour ones for itself; one of colour images is shown
    grey ones in all three; one that has a way for either takes it by what an image shows. With `tile`, no more than about that many pixels
    a side are computed at once: slower, in little memory, with the same result. `precision` bf16 takes about half the time where the
    hardware has it, for some thousandths of a dB. Raises SettingError for a network that repairs nothing, for what it wants to know and is
    not told, for kernels that do not fit, or for tiles with a network that looks at the whole image; ImageError, naming the model, for a
    result that is not finite.
    """
    restorer, where = weights.opened(model, Restorer, otherwise="repairs nothing"), select_device(device)
    told: dict[str, Any] = {"noise": noise, "observed": observed, "quality": quality, "kernels": kernels}
    return run_network(optimized(restorer.network, where), images, where, name=str(restorer), tile=tile, precision=precision, **told)


@torch.no_grad()
def run_network(
    network: Restorer,
    images: Images,
    device: torch.device,
    *,
    name: str,
    noise: float | Maps | None = None,
    observed: Maps | None = None,
    quality: float | Maps | None = None,
    kernels: Kernels | None = None,
    tile: Tile | None = None,
    precision: Precision = "fp32",
) -> Maps:
    """As `apply_restorer`, for a network that is `optimized` on the device `device`; errors call it `name`."""
    if network.has_grey_path and images.shape[1] > 1 and bool((grey := colourless(images)).any()):
        told: dict[str, Any] = {"noise": noise, "observed": observed, "quality": quality, "kernels": kernels}
        how: dict[str, Any] = {"name": name, "tile": tile, "precision": precision}
        made = [
            run_network(network, _alone(images, i)[:, : 1 if grey[i] else None], device, **_each(told, i), **how)
            for i in range(len(images))
        ]
        return torch.cat([part.expand(-1, images.shape[1], -1, -1) for part in made])
    if images.shape[1] != network.channels and 1 not in (images.shape[1], network.channels):
        raise SettingError(f"images have {images.shape[1]} channels, the network takes {network.channels}; convert them first")
    if isinstance(network, Deblurrer) and kernels is not None:
        fitting(kernels, images)
        network = WithKernel(network, kernels if images.shape[1] == network.channels else kernels.repeat_interleave(images.shape[1], dim=0))
    elif kernels is not None:
        raise SettingError("kernels have no effect on this network, which sees a blur for itself; leave them out")
    told = {"noise": noise, "observed": observed, "quality": quality}
    even = isinstance(network, Deblurrer | WithKernel)
    planes = (
        torch.cat([_plane(name, told[name], images, even=even) for name in network.conditioning], dim=1) if network.conditioning else None
    )

    def rows(start: int, stop: int) -> tuple[Maps, Planes | None]:
        return images[:, :, start:stop], None if planes is None else planes[:, :, start:stop]

    h, w = images.shape[2:]
    canvas = Canvas(size=(h, w), rows=rows)
    return torch.cat(list(strips(network, canvas, name=name, tile=tile, precision=precision, device=device)), dim=2)


def optimized(network: Restorer, device: torch.device) -> Restorer:
    """`network` at its fastest: on the device, its weights in the order that convolutions like best, with what follows them folded in."""
    return fused(folded(channels_last(network, device)))


@torch.no_grad()
def strips(
    network: Restorer, canvas: Canvas, *, name: str, tile: Tile | None, precision: Precision = "fp32", device: torch.device
) -> Iterator[Resized]:
    """The clean image, top to bottom, some rows at a time; the network is asked for no more than about `tile` pixels at once.

    Whoever listens (`core/progress.py`) is told of every tile. Raises SettingError for tiles with a network that looks at the whole image,
    ImageError, with the `name` of the model, for a result that is not finite.
    """
    (h, w), chosen = canvas.size, select_precision(precision, device)
    down, across = pieces(network, (h, w), tile)
    done = counted(range(len(down) * len(across)), "tiles") if len(down) * len(across) > 1 else iter([0])
    for (top, bottom), (first, last) in down:
        images, planes = canvas.rows(first, last)
        parts = []
        for (left, right), (begin, end) in across:
            next(done)
            x = images[..., begin:end]
            some = None if planes is None else planes[..., begin:end]
            with autocast(chosen, device):
                made = _repaired(network, x.to(device), None if some is None else some.to(device)).cpu()
            finite(made, name)
            s = network.scale
            inner = made[:, :, (top - first) * s : (bottom - first) * s, (left - begin) * s : (right - begin) * s]
            parts.append(inner.clamp(0, 1))
        yield torch.cat(parts, dim=3) if len(parts) > 1 else parts[0]
    next(done, None)  # the last one is done too


def pieces(network: Restorer, size: tuple[int, int], tile: Tile | None) -> tuple[list[tuple[Span, Span]], list[tuple[Span, Span]]]:
    """From top to bottom and across: the spans of an image that are computed at once, each with the span that is computed for it.

    Raises SettingError for tiles below one pixel, or with a network that looks at the whole image.
    """
    tall, wide = (max(size), max(size)) if tile is None else (tile, tile) if isinstance(tile, int) else tile
    if min(tall, wide) < 1:
        raise SettingError(f"tile = {tile} must be at least 1 pixel")
    if tall >= size[0] and wide >= size[1]:
        return tuple([((0, length), (0, length))] for length in size)  # type: ignore[return-value]
    if network.receptive_radius is None:
        raise SettingError("this network looks at the whole image at once, so that tiles would not fit together; leave tile unset")
    down, across = (
        [((start, stop), _surroundings(start, stop, network, length)) for start, stop in spans(length, side, network.tile_multiple)]
        for length, side in zip(size, (tall, wide), strict=True)
    )
    return down, across


def usage(network: Restorer, size: tuple[int, int], tile: Tile | None) -> float:
    """Pixels of an image over all that are computed for it in such tiles, with their contexts: 1 for an image taken as a whole."""
    computed = [sum(last - first for _, (first, last) in each) for each in pieces(network, size, tile)]
    return math.prod(size) / math.prod(computed)


def _repaired(network: Restorer, images: Maps, planes: Planes | None) -> Maps:
    """What the network makes of images of any size and of one channel, or as many as it takes."""
    n, c, h, w = images.shape
    x = images
    if c != network.channels and network.channels == 1:
        x, planes = images.reshape(n * c, 1, h, w), None if planes is None else planes.repeat_interleave(c, dim=0)
    elif c != network.channels and not network.has_grey_path:
        x = images.expand(n, network.channels, h, w)
    made = network.restore(_extended(x, network.pad_multiple), None if planes is None else _extended(planes, network.pad_multiple))
    made = made[:, :, : h * network.scale, : w * network.scale]
    if made.shape[:2] == images.shape[:2]:
        return made
    return made.reshape(n, c, *made.shape[2:]) if network.channels == 1 else made.mean(dim=1, keepdim=True)


def colourless(images: Images) -> Bool[Tensor, " n"]:
    """Of each image whether all its channels are the same."""
    return (images == images[:, :1]).flatten(1).all(dim=1)


def _alone(x: Tensor, i: int) -> Tensor:
    """Number `i` of a batch; of a batch of one it is that one."""
    return x[i : i + 1] if len(x) > 1 else x


def _each(conditioning: dict[str, Any], i: int) -> dict[str, Any]:
    """What is told of image `i`."""
    return {name: _alone(value, i) if isinstance(value, Tensor) else value for name, value in conditioning.items()}


def _plane(name: str, value: float | Maps | None, images: Images, *, even: bool) -> Planes:
    if value is None:
        raise SettingError(f"this network wants to know {name}: a number in [0, 1], or a plane with {name} of each pixel")
    n, _, h, w = images.shape
    plane = value if isinstance(value, torch.Tensor) else torch.full((n, 1, h, w), float(value))
    if plane.shape != (n, 1, h, w):
        raise SettingError(f"{name} has shape {tuple(plane.shape)}, the images want {(n, 1, h, w)}")
    if even and bool((plane != plane[:, :, :1, :1]).any()):
        raise SettingError(f"{name} differs from pixel to pixel; the filters that undo a blur want one number for an image")
    return plane


def _extended(images: Maps, multiple: int) -> Maps:
    """`images` continued below and to the right by their mirror image until both sides are multiples of `multiple`."""
    for axis in (2, 3):
        length = images.shape[axis]
        if length % multiple:
            index = mirrored(torch.arange(length + -length % multiple), length)
            images = images.index_select(axis, index.to(images.device))
    return images


def spans(length: int, tile: int, grid: int) -> Iterator[Span]:
    """Pieces of about `tile` pixels that begin and end at multiples of `grid`."""
    step = max(1, tile // grid) * grid
    count = math.ceil(length / step)
    step = math.ceil(length / count / grid) * grid
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _surroundings(start: int, stop: int, network: Restorer, length: int) -> Span:
    """The piece with its context, as far as the image goes."""
    assert network.receptive_radius is not None
    reach = math.ceil(network.receptive_radius / network.tile_multiple) * network.tile_multiple
    return max(0, start - reach), min(length, stop + reach)
