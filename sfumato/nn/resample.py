"""Resizing and filtering with mirrored borders, batched and differentiable: each axis is multiplied by a small matrix of weights.

`resize` uses the weights of MATLAB's imresize, the "bicubic" of the super-resolution literature: the cubic kernel of
Keys (1981, https://doi.org/10.1109/TASSP.1981.1163711) with a = -1/2, widened by the scale factor when an image shrinks.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Maps, Resized

Method = Literal["bicubic", "bilinear", "area", "nearest"]

_SUPPORT = {"bicubic": 4.0, "bilinear": 2.0, "area": 1.0}
"""Width of each interpolation kernel in samples."""
BAND = 256
"""New rows that large images are resized to at once."""
_COLUMNS = 1024
"""New columns that `resized_rows` computes at once."""


def resize(images: Images, size: tuple[int, int], *, method: Method = "bicubic", scale: float | None = None) -> Resized:
    """`images` resized to `size` (height, width), antialiased where that is smaller; computed in float32.

    `scale` is the exact enlargement where `size` was rounded (7 pixels halved are 4 at scale 1/2); the default is the ratio of the sides.
    Bicubic results may exceed [0, 1].
    """
    h, w = images.shape[2:]
    with torch.autocast(images.device.type, enabled=False):
        rows = _weights(h, size[0], scale or size[0] / h, method).to(images.device)
        columns = _weights(w, size[1], scale or size[1] / w, method).to(images.device)
        return rows @ images.float() @ columns.mT


def enlarge(images: Images, factor: int) -> Resized:
    """`images` enlarged by a whole `factor`, bicubic as by `resize`; computed in float32.

    A graph that is exported has no fixed sizes, from which `resize` computes its weights: there the same weights, which are equal for all
    pixels with the same place in the enlarged square, are those of a convolution. Sides are then at least 2 pixels.
    """
    h, w = images.shape[2:]
    if not torch.compiler.is_exporting():
        return resize(images, (h * factor, w * factor))
    c = images.shape[1]
    reach = 2  # samples beside the pixel that a cubic kernel covers
    inside = 2 * reach + 1
    taps = _weights(inside, factor * inside, factor, "bicubic")[factor * reach : factor * (reach + 1)].to(images.device)
    x = images.float()
    for axis in (2, 3):  # the mirror image, border pixels repeated
        length = x.shape[axis]
        before, after = x.narrow(axis, 0, reach).flip(axis), x.narrow(axis, length - reach, reach).flip(axis)
        x = torch.cat([before, x, after], dim=axis)
    kernels = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(factor * factor, 1, inside, inside)
    return F.pixel_shuffle(F.conv2d(x, kernels.repeat(c, 1, 1, 1), groups=c), factor)


def resized_rows(
    read: Callable[[int, int], Maps], size: tuple[int, int], output: tuple[int, int], start: int, stop: int, *, method: Method = "bicubic"
) -> Maps:
    """Rows `start` to `stop` (exclusive) of images of `size` (height, width) resized to the size `output`, as `resize` does it.

    `read` returns the rows from a first one to one after the last. Memory depends on the width alone: `resize` takes a matrix of all rows
    by all new rows.
    """
    first, last, rows = _part(size[0], output[0], start, stop, method)
    band = read(first, last)
    with torch.autocast(band.device.type, enabled=False):
        band, parts = rows.to(band.device) @ band.float(), []
        for left in range(0, output[1], _COLUMNS):
            begin, end, columns = _part(size[1], output[1], left, min(output[1], left + _COLUMNS), method)
            parts.append(band[..., begin:end] @ columns.to(band.device).mT)
    return torch.cat(parts, dim=3)


def resize_in_bands(images: Images, size: tuple[int, int]) -> Resized:
    """`resize` for large images: bicubic, in bands of rows, without a matrix of all rows by all new rows."""
    before = (images.shape[2], images.shape[3])
    starts = range(0, size[0], BAND)
    bands = [
        resized_rows(lambda first, last: images[:, :, first:last], before, size, start, min(size[0], start + BAND)) for start in starts
    ]
    return torch.cat(bands, dim=2)


def shrink(images: Images, factor: int, *, method: Method = "bicubic") -> Resized:
    """`images` with height and width divided by a whole `factor` and rounded up.

    In a graph that is exported, sides are multiples of `factor`, and the weights, equal for all new pixels, are those of a convolution.
    """
    h, w = images.shape[2:]
    if torch.compiler.is_exporting():
        return _shrunk_by_convolution(images, factor, method)
    return resize(images, (math.ceil(h / factor), math.ceil(w / factor)), method=method, scale=1 / factor)


def _shrunk_by_convolution(images: Images, factor: int, method: Method) -> Resized:
    reach = math.ceil(_SUPPORT[method] * factor / 2)
    cells = math.ceil(reach / factor)
    inside = (2 * cells + 1) * factor
    taps = _weights(inside, 2 * cells + 1, 1 / factor, method)[cells].to(images.device)
    x = images.float()
    for axis in (2, 3):  # the mirror image, border pixels repeated
        length = x.shape[axis]
        before, after = x.narrow(axis, 0, cells * factor).flip(axis), x.narrow(axis, length - cells * factor, cells * factor).flip(axis)
        x = torch.cat([before, x, after], dim=axis)
    kernel = (taps[:, None] * taps[None])[None, None].repeat(images.shape[1], 1, 1, 1)
    return F.conv2d(x, kernel, stride=factor, groups=images.shape[1])


def bilinear_from_corner(images: Images, size: tuple[int, int]) -> Resized:
    """`images` resized to `size` as TensorFlow 1 did: bilinear, never antialiased, with the centres of the first pixels aligned."""
    with torch.autocast(images.device.type, enabled=False):
        rows, columns = (_from_corner(old, new).to(images.device) for old, new in zip(images.shape[2:], size, strict=True))
        return rows @ images.float() @ columns.mT


def correlate(images: Images, kernels: Float[Tensor, "n k k"]) -> Images:
    """Each image correlated with its own kernel of odd side, in float32; borders are mirrored."""
    n, c, h, w = images.shape
    reach = kernels.shape[1] // 2
    with torch.autocast(images.device.type, enabled=False):
        x = mirror(images.float(), reach).reshape(1, n * c, h + 2 * reach, w + 2 * reach)
        weights = kernels.to(x).repeat_interleave(c, dim=0)[:, None]
        return F.conv2d(x, weights, groups=n * c).reshape(n, c, h, w)


def mirror(images: Images, reach: int) -> Resized:
    """`images` padded by `reach` pixels on every side with their mirror image, border pixels repeated; `reach` may exceed the sides."""
    h, w = images.shape[2:]
    rows = mirrored(torch.arange(-reach, h + reach), h)
    columns = mirrored(torch.arange(-reach, w + reach), w)
    return images.index_select(2, rows.to(images.device)).index_select(3, columns.to(images.device))


def at_least(images: Images, side: int) -> Resized:
    """`images` continued below and to the right by their mirror image until height and width are at least `side` pixels."""
    for axis in (2, 3):
        if (length := images.shape[axis]) < side:
            images = images.index_select(axis, mirrored(torch.arange(side), length).to(images.device))
    return images


def mirrored(index: Tensor, length: int) -> Tensor:
    """The index in [0, `length`) that a mirrored border shows at position `index`: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ..."""
    place = index.remainder(2 * length)
    return torch.minimum(place, 2 * length - 1 - place)


def _weights(length: int, out: int, scale: float, method: Method) -> Float[Tensor, "_out _length"]:
    """The weight of each of `length` samples in each of `out` new samples."""
    index, weight = _taps(length, torch.arange(out, dtype=torch.float64), scale, method)
    return torch.zeros(out, length, dtype=torch.float64).scatter_add_(1, index, weight).float()


def _part(length: int, out: int, start: int, stop: int, method: Method) -> tuple[int, int, Float[Tensor, "_new _old"]]:
    """The first sample that the new samples `start` to `stop` depend on, the one after the last, and the weights of those between."""
    index, weight = _taps(length, torch.arange(start, stop, dtype=torch.float64), out / length, method)
    first, last = int(index.min()), int(index.max()) + 1
    matrix = torch.zeros(stop - start, last - first, dtype=torch.float64)
    return first, last, matrix.scatter_add_(1, index - first, weight).float()


def _taps(
    length: int, new: Float[Tensor, " _new"], scale: float, method: Method
) -> tuple[Int64[Tensor, "_new _taps"], Float[Tensor, "_new _taps"]]:
    """For each of the `new` samples, the indices of the samples that it depends on, and their weights."""
    centre = (new + 0.5) / scale - 0.5
    if method == "nearest":
        # Halfway between two samples the later one is taken; the small offset removes the effect of rounding.
        chosen = (centre + 0.5 + 1e-9).floor().long().clamp(0, length - 1)[:, None]
        return chosen, torch.ones_like(chosen, dtype=torch.float64)
    widen = max(1.0, 1 / scale)
    support = _SUPPORT[method] * widen
    first = (centre - support / 2).ceil().long()
    index = first[:, None] + torch.arange(math.ceil(support) + 1)
    weight = _kernel((index - centre[:, None]) / widen, method)
    return mirrored(index, length), weight / weight.sum(dim=1, keepdim=True)


def _from_corner(length: int, out: int) -> Float[Tensor, "_out _length"]:
    place = torch.arange(out, dtype=torch.float64) * (length / out)
    below = place.floor().long().clamp(max=length - 1)
    share = (place - below)[:, None]
    ends = F.one_hot(below, length), F.one_hot((below + 1).clamp(max=length - 1), length)
    return ((1 - share) * ends[0] + share * ends[1]).float()


def _kernel(x: Float[Tensor, "_out _taps"], method: Method) -> Float[Tensor, "_out _taps"]:
    x = x.abs()
    if method == "area":
        return (x < 0.5).double() + 0.5 * (x == 0.5).double()
    if method == "bilinear":
        return (1 - x).clamp_min(0)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
