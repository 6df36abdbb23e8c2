"""Restorers on images of any size, whole or in tiles.

    canvas ─ tile with its context ─ extend to the network's multiple ─ channels ─ network ─ cut ─ clamp ─ rows of the clean image

A tile is computed with a context of the network's `receptive_radius`, and never beyond the border of the image, so that the tiles together
equal the output for the whole image. A canvas reads rows on request: it may be a tensor, or a file larger than memory.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict, cast

import torch
from torch import Tensor

from sfumato.classical.deconvolve import fitting
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import Precision, autocast, channels_last, select_device, select_precision
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import finite
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Kernels, Maps, Planes, Resized
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.channels import colourless, separate_channels
from sfumato.nn.fused import fused
from sfumato.nn.norm import fold_batch_norm
from sfumato.nn.resample import mirrored
from sfumato.store import weights
from sfumato.store.loaded import Model

Span = tuple[int, int]
Tile = int | tuple[int, int]
"""Side in pixels of the square that is computed at once, without its context; or its height and width."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Images that are read a few rows at a time."""

    size: tuple[int, int]
    rows: Callable[[int, int], tuple[Maps, Planes | None]]
    """Maps the first row and the one after the last to these rows, in [0, 1], and to the planes that the network takes."""


class Conditioning(TypedDict, total=False):
    """The facts about images that a network takes beside them, one for all of them or one for each; see `apply_restorer`."""

    noise: float | Maps | None
    observed: Maps | None
    quality: float | Maps | None
    kernels: Kernels | None


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

    `noise` (standard deviation as a share of full scale), `observed` (1 where a pixel is valid, 0 where it is missing) and `quality` (of
    the JPEG, over 100) are for networks with this conditioning; `kernels`, the blur of each image, are for deblurrers; these take one
    number for the noise of an image. A network for grey images repairs each channel of a colour image alone; a network for colour images
    takes a grey image in all three channels; a network with a path for either chooses by the values of the image. With `tile`, squares of
    about that side are computed at once: slower, with less memory and the same result. `precision` bf16 takes about half the time on
    hardware that supports it, and costs some thousandths of a dB. Raises SettingError for a network that is no restorer, for conditioning
    that is missing, for kernels that do not fit, and for tiles with a network that takes the whole image; ImageError, naming the model,
    for a result that is not finite.
    """
    restorer, chosen_device = weights.opened(model, Restorer, otherwise="repairs nothing"), select_device(device)
    network, name = optimized(restorer.network, chosen_device), str(restorer)
    conditioning = Conditioning(noise=noise, observed=observed, quality=quality, kernels=kernels)
    return run_network(network, images, chosen_device, name=name, tile=tile, precision=precision, **conditioning)


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
    """`apply_restorer` with a network that is `optimized` on the device `device`; errors call it `name`."""
    if network.has_grey_path and images.shape[1] > 1 and bool((grey := colourless(images)).any()):
        conditioning = Conditioning(noise=noise, observed=observed, quality=quality, kernels=kernels)
        run = functools.partial(run_network, network, device=device, name=name, tile=tile, precision=precision)
        parts = [run(_alone(images, i)[:, : 1 if grey[i] else None], **_each(conditioning, i)) for i in range(len(images))]
        return torch.cat([part.expand(-1, images.shape[1], -1, -1) for part in parts])
    if images.shape[1] != network.channels and 1 not in (images.shape[1], network.channels):
        raise SettingError(f"images have {images.shape[1]} channels, the network takes {network.channels}; convert them first")
    if network.takes_kernels and kernels is not None:
        fitting(kernels, images)
        repeats = 1 if images.shape[1] == network.channels else images.shape[1]
        network = network.with_kernels(kernels.repeat_interleave(repeats, dim=0))
    elif kernels is not None:
        raise SettingError("kernels have no effect on this network, which takes none; leave them out")
    values = {"noise": noise, "observed": observed, "quality": quality}
    even = network.takes_kernels or network.kernels is not None
    planes = (
        torch.cat([_plane(name, values[name], images, even=even) for name in network.conditioning], dim=1) if network.conditioning else None
    )

    def rows(start: int, stop: int) -> tuple[Maps, Planes | None]:
        return images[:, :, start:stop], None if planes is None else planes[:, :, start:stop]

    canvas = Canvas(size=(images.shape[2], images.shape[3]), rows=rows)
    return torch.cat(list(strips(network, canvas, name=name, tile=tile, precision=precision, device=device)), dim=2)


def optimized(network: Restorer, device: torch.device) -> Restorer:
    """`network` on the device, with channels-last weights and normalisations folded into convolutions, for speed."""
    return fused(fold_batch_norm(channels_last(network, device)))


@torch.no_grad()
def strips(
    network: Restorer, canvas: Canvas, *, name: str, tile: Tile | None, precision: Precision = "fp32", device: torch.device
) -> Iterator[Resized]:
    """The clean image, top to bottom, some rows at a time, computed in tiles of about `tile` pixels a side.

    Progress counts the tiles. Raises SettingError for tiles with a network that takes the whole image; ImageError, with the `name` of
    the model, for a result that is not finite.
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
            part_planes = None if planes is None else planes[..., begin:end]
            with autocast(chosen, device):
                output = _repaired(network, x.to(device), None if part_planes is None else part_planes.to(device)).cpu()
            finite(output, name)
            s = network.scale
            inner = output[:, :, (top - first) * s : (bottom - first) * s, (left - begin) * s : (right - begin) * s]
            parts.append(inner.clamp(0, 1))
        yield torch.cat(parts, dim=3) if len(parts) > 1 else parts[0]
    next(done, None)  # counts the last tile


def pieces(network: Restorer, size: tuple[int, int], tile: Tile | None) -> tuple[list[tuple[Span, Span]], list[tuple[Span, Span]]]:
    """The tiles of an image as spans of rows and spans of columns, each with the span that is computed for it, context included.

    Raises SettingError for tiles below one pixel, and for tiles with a network that takes the whole image.
    """
    tall, wide = (max(size), max(size)) if tile is None else (tile, tile) if isinstance(tile, int) else tile
    if min(tall, wide) < 1:
        raise SettingError(f"tile = {tile} must be at least 1 pixel")
    if tall >= size[0] and wide >= size[1]:
        return tuple([((0, length), (0, length))] for length in size)  # type: ignore[return-value]
    if network.receptive_radius is None:
        raise SettingError("this network takes the whole image at once, so that tiles would not fit together; leave tile unset")
    down, across = (
        [((start, stop), _surroundings(start, stop, network, length)) for start, stop in spans(length, side, network.tile_multiple)]
        for length, side in zip(size, (tall, wide), strict=True)
    )
    return down, across


def usage(network: Restorer, size: tuple[int, int], tile: Tile | None) -> float:
    """Pixels of an image divided by all pixels that are computed in such tiles, contexts included: 1 for an image in one piece."""
    computed = [sum(last - first for _, (first, last) in each) for each in pieces(network, size, tile)]
    return math.prod(size) / math.prod(computed)


def _repaired(network: Restorer, images: Maps, planes: Planes | None) -> Maps:
    """The output for images of any size, with one channel or the channels of the network."""
    n, c, h, w = images.shape
    x = images
    if network.channels == 1 or not network.has_grey_path:
        x = separate_channels(images, network.channels)
        planes = planes if planes is None or len(x) == n else planes.repeat_interleave(c, dim=0)
    output = network.restore(_extended(x, network.pad_multiple), None if planes is None else _extended(planes, network.pad_multiple))
    output = output[:, :, : h * network.scale, : w * network.scale]
    if output.shape[:2] == images.shape[:2]:
        return output
    return output.reshape(n, c, *output.shape[2:]) if network.channels == 1 else output.mean(dim=1, keepdim=True)


def _alone(x: Tensor, i: int) -> Tensor:
    """Element `i` of a batch, as a batch; a batch of one stands for all."""
    return x[i : i + 1] if len(x) > 1 else x


def _each(conditioning: Conditioning, i: int) -> Conditioning:
    """The conditioning of image `i`."""
    values = {name: _alone(value, i) if isinstance(value, Tensor) else value for name, value in conditioning.items()}
    return cast(Conditioning, values)


def _plane(name: str, value: float | Maps | None, images: Images, *, even: bool) -> Planes:
    """The conditioning `name` as planes. Raises SettingError if it is missing, of another shape, or not constant despite `even`."""
    if value is None:
        raise SettingError(f"this network needs {name}; give a number in [0, 1], or a plane with {name} of each pixel")
    n, _, h, w = images.shape
    plane = value if isinstance(value, torch.Tensor) else torch.full((n, 1, h, w), float(value))
    if plane.shape != (n, 1, h, w):
        raise SettingError(f"{name} has shape {tuple(plane.shape)}; for these images it must be {(n, 1, h, w)}")
    if even and bool((plane != plane[:, :, :1, :1]).any()):
        raise SettingError(f"{name} differs from pixel to pixel; deblurring filters take one number for an image")
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
    """Spans of about `tile` pixels that cover `length` and begin at multiples of `grid`."""
    step = max(1, tile // grid) * grid
    count = math.ceil(length / step)
    step = math.ceil(length / count / grid) * grid
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _surroundings(start: int, stop: int, network: Restorer, length: int) -> Span:
    """The span with its context, inside the image."""
    assert network.receptive_radius is not None
    reach = math.ceil(network.receptive_radius / network.tile_multiple) * network.tile_multiple
    return max(0, start - reach), min(length, stop + reach)
