"""Repair images of any size with any network that repairs, whole or in tiles.

    images ─ channels ─ extend to the network's multiple ─ tile by tile, each with its context ─ cut ─ clamp ─ clean

A tile is given as much of what surrounds it as its result depends on (the network's `context`) and is never continued beyond the
image's own border, so the tiles together are what the whole image would have given.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from sfumato.core import runtime
from sfumato.core.errors import SettingError
from sfumato.core.image import Images, Maps, Planes
from sfumato.models.base import Restores
from sfumato.nn.resample import mirror
from sfumato.store import weights

Span = tuple[int, int]


@torch.no_grad()
def restore(
    model: str | Path | nn.Module,
    images: Images,
    *,
    noise: float | Maps | None = None,
    known: Maps | None = None,
    quality: float | Maps | None = None,
    tile: int | None = None,
    precision: runtime.Precision = "fp32",
    device: str = "auto",
) -> Maps:
    """Clean images in [0, 1], on the CPU, `scale` times as large as `images`.

    `noise` (standard deviation, as a share of full scale), `known` (1 where a pixel is seen, 0 where it is missing) and `quality` (of
    the JPEG, over 100) are for networks that want to know them. A network of grey images repairs each channel of colour ones for
    itself; one of colour images is shown grey ones in all three. With `tile`, no more than about that many pixels a side are
    computed at once: slower, in little memory, with the same result. Raises SettingError for a network that repairs nothing, for
    what it wants to know and is not told, or for tiles with a network that looks at the whole image.
    """
    network, where = weights.opened(model, Restores, otherwise="repairs nothing"), runtime.device(device)
    network = network.to(where)
    n, c, h, w = images.shape
    told = {"noise": noise, "known": known, "quality": quality}
    planes = torch.cat([_plane(name, told[name], images) for name in network.takes], dim=1) if network.takes else None

    # Channels.
    if c == network.channels:
        x = images
    elif network.channels == 1:
        x, planes = images.reshape(n * c, 1, h, w), None if planes is None else planes.repeat_interleave(c, dim=0)
    elif c == 1:
        x = images.expand(n, network.channels, h, w)
    else:
        raise SettingError(f"images have {c} channels, the network takes {network.channels}; convert them first")

    # Sides.
    x, planes = _extended(x, network.multiple), None if planes is None else _extended(planes, network.multiple)
    with runtime.autocast(runtime.precision(precision, where), where):
        made = _tiled(network, x, planes, tile, where)
    made = made[:, :, : h * network.scale, : w * network.scale]

    # And back.
    if c != network.channels:
        made = made.reshape(n, c, *made.shape[2:]) if network.channels == 1 else made.mean(dim=1, keepdim=True)
    return made.clamp(0, 1)


def _plane(name: str, value: float | Maps | None, images: Images) -> Planes:
    if value is None:
        raise SettingError(f"this network wants to know {name}: a number in [0, 1], or a plane with {name} of each pixel")
    n, _, h, w = images.shape
    plane = value if isinstance(value, torch.Tensor) else torch.full((n, 1, h, w), float(value))
    if plane.shape != (n, 1, h, w):
        raise SettingError(f"{name} has shape {tuple(plane.shape)}, the images want {(n, 1, h, w)}")
    return plane


def _extended(images: Maps, multiple: int) -> Maps:
    """`images` continued below and to the right by their mirror image until both sides are multiples of `multiple`."""
    h, w = images.shape[2:]
    down, right = -h % multiple, -w % multiple
    reach = max(down, right)
    return mirror(images, reach)[:, :, reach : reach + h + down, reach : reach + w + right] if reach else images


def _tiled(network: Restores, images: Maps, planes: Planes | None, tile: int | None, where: torch.device) -> Maps:
    h, w = images.shape[2:]
    if tile is None or max(h, w) <= tile:
        return network.restore(images.to(where), None if planes is None else planes.to(where)).cpu()
    if network.context is None:
        raise SettingError("this network looks at the whole image at once, so that tiles would not fit together; leave tile unset")
    if tile < 1:
        raise SettingError(f"tile = {tile} must be at least 1 pixel")
    s, made = network.scale, images.new_empty(len(images), images.shape[1], h * network.scale, w * network.scale)
    for top, bottom in _spans(h, tile, network.grid):
        for left, right in _spans(w, tile, network.grid):
            rows, columns = (_around(a, b, network, side) for a, b, side in ((top, bottom, h), (left, right, w)))
            some = (slice(None), slice(None), slice(*rows), slice(*columns))
            part = network.restore(images[some].to(where), None if planes is None else planes[some].to(where)).cpu()
            inner = part[:, :, (top - rows[0]) * s : (bottom - rows[0]) * s, (left - columns[0]) * s : (right - columns[0]) * s]
            made[:, :, top * s : bottom * s, left * s : right * s] = inner
    return made


def _spans(length: int, tile: int, grid: int) -> Iterator[Span]:
    """Pieces of about `tile` pixels that begin and end at multiples of `grid`."""
    step = max(1, tile // grid) * grid
    count = math.ceil(length / step)
    step = math.ceil(length / count / grid) * grid
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _around(start: int, stop: int, network: Restores, length: int) -> Span:
    """The piece with its context, as far as the image goes."""
    assert network.context is not None
    reach = math.ceil(network.context / network.grid) * network.grid
    return max(0, start - reach), min(length, stop + reach)
