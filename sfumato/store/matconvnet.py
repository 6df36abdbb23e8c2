"""Networks of MatConvNet (SimpleNN) in MATLAB files, as the authors of DnCNN and FFDNet published them.

    net.layers = {conv, relu, conv, bnorm, relu, ..., conv}                 DnCNN
    net.layers = {SubP, concat, conv, relu, ..., conv, SubP}                FFDNet: images folded 2x2, noise level appended

Kernels are (height, width, inputs, outputs) there. The folding counts the four pixels of a square column by column, and PyTorch row by row.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.core.errors import CheckpointError, FormatError
from sfumato.store import matfile

NAME = "matconvnet"
"""What the names of the tensors begin with."""
_COLUMNS = (0, 2, 1, 3)
"""Place of each pixel of a square, counted row by row, in MATLAB's order."""
_SKIPPED = ("relu", "loss", "concat", "SubP")

Array: TypeAlias = NDArray[np.generic]
Conv: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Kernels (outputs, inputs, height, width) and biases, in float64."""


def table(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    """The convolutions of the network in a MATLAB file with the content `data`: matconvnet.0.weight, matconvnet.0.bias, and so on.

    Batch normalisation is folded in. Raises CheckpointError, naming `path`, if the file is damaged or holds another network or none;
    MissingExtraError without scipy.
    """
    try:
        layers = list(_layers(matfile.load(data)))
        convs = _convs(layers)
    except FormatError as error:
        raise CheckpointError(f"{path}: a MATLAB file that {error}") from error
    if any(_kind(layer) == "SubP" for layer in layers):
        convs = _row_by_row(convs)
    return {
        f"{NAME}.{2 * i}.{part}": value.float().contiguous()
        for i, conv in enumerate(convs)
        for part, value in zip(("weight", "bias"), conv, strict=True)
    }


def _layers(variables: dict[str, object]) -> Iterator[Array]:
    """The layers in `net.layers`, or in `layers`, one structure each."""
    net = variables.get("net")
    cells = _field(net, "layers") if isinstance(net, np.ndarray) else variables.get("layers")
    if not isinstance(cells, np.ndarray) or cells.dtype != object or not cells.size:
        names = ", ".join(sorted(ascii(name)[1:-1][:30] for name in variables))[:120]
        raise FormatError(f"holds no network of MatConvNet under net.layers; its variables are {names or 'none'}")
    for cell in cells.flatten():
        if not isinstance(cell, np.ndarray) or cell.dtype.names is None or cell.size != 1:
            raise FormatError("holds a layer that is no structure")
        yield cell


def _convs(layers: list[Array]) -> list[Conv]:
    """The convolutions in their order, with the normalisation after each folded in."""
    convs: list[Conv] = []
    for layer in layers:
        kind = _kind(layer)
        if kind == "conv":
            convs.append(_conv(layer))
        elif kind == "bnorm" and convs:
            convs[-1] = _folded(convs[-1], layer)
        elif kind not in _SKIPPED or _number(layer, "leak", 0.0):
            raise FormatError(f"holds a layer {ascii(kind)[1:-1][:30]}, which no network here has")
    if len(convs) < 2:
        raise FormatError("holds no chain of convolutions")
    return convs


def _conv(layer: Array) -> Conv:
    for setting in ("stride", "dilate"):
        if (value := _number(layer, setting, 1.0)) != 1.0:
            raise FormatError(f"holds a convolution with {setting} {value:g}, which no network here has")
    weights = _weights(layer)
    if len(weights) < 2:
        raise FormatError("holds a convolution without weights")
    kernel, bias = weights[0], weights[1].flatten()
    while kernel.ndim < 4:  # MATLAB drops a last side of one
        kernel = kernel[..., None]
    if kernel.ndim != 4:
        raise FormatError(f"holds kernels of {kernel.ndim} sides")
    kernel = kernel.permute(3, 2, 0, 1)
    side = kernel.shape[2]
    if kernel.shape[3] != side or side % 2 == 0 or _number(layer, "pad", side // 2) != side // 2:
        raise FormatError("holds a convolution that changes the size of the image")
    if not len(bias):
        bias = kernel.new_zeros(len(kernel))
    if len(bias) != len(kernel):
        raise FormatError(f"holds {len(bias)} biases for {len(kernel)} kernels")
    return kernel, bias


def _folded(conv: Conv, layer: Array) -> Conv:
    """A convolution with the batch normalisation `layer`, whose moments are means and standard deviations."""
    weights = _weights(layer)
    kernel, bias = conv
    if (
        len(weights) != 3
        or [tuple(each.shape) for each in weights[2:]] != [(len(kernel), 2)]
        or any(w.numel() != len(kernel) for w in weights[:2])
    ):
        raise FormatError("holds a batch normalisation that does not fit its convolution")
    mean, deviation = weights[2].unbind(dim=1)
    gain = weights[0].flatten() / deviation
    return kernel * gain[:, None, None, None], (bias - mean) * gain + weights[1].flatten()


def _row_by_row(convs: list[Conv]) -> list[Conv]:
    """Convolutions of images folded 2x2 whose first inputs and last outputs are counted row by row."""
    first, last = convs[0][0], convs[-1][0]
    outputs = len(last)
    if outputs % 4 or first.shape[1] < outputs:
        raise FormatError(f"folds images 2x2 and ends in {outputs} maps, which is no multiple of 4 that it begins with")
    order = [4 * i + place for i in range(outputs // 4) for place in _COLUMNS]
    convs[0] = (first[:, [*order, *range(outputs, first.shape[1])]], convs[0][1])
    convs[-1] = (convs[-1][0][order], convs[-1][1][order])
    return convs


def _weights(layer: Array) -> list[torch.Tensor]:
    """The arrays of a layer: its weights, or filters and biases as the first versions call them."""
    cells = _field(layer, "weights")
    if isinstance(cells, np.ndarray) and cells.dtype == object:
        arrays = list(cells.flatten())
    else:
        arrays = [each for name in ("filters", "biases") if (each := _field(layer, name)) is not None]
    for each in arrays:
        if not isinstance(each, np.ndarray) or each.dtype.kind not in "fiu":
            raise FormatError("holds weights that are no real numbers")
    with np.errstate(invalid="ignore"):  # NaN among the weights is refused later, by name
        return [torch.from_numpy(np.ascontiguousarray(each, dtype=np.float64)) for each in arrays]


def _kind(layer: Array) -> str:
    """The type of a layer."""
    value = _field(layer, "type")
    return str(value.flatten()[0]) if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "U" else ""


def _number(layer: Array, name: str, default: float) -> float:
    """The number, or the number that is repeated, under `name`; `default` if there is none."""
    value = _field(layer, name)
    if not isinstance(value, np.ndarray) or not value.size or value.dtype.kind not in "fiu":
        return default
    if np.unique(value).size != 1:
        raise FormatError(f"holds a layer with several values of {name}")
    return float(value.flatten()[0])


def _field(structure: Array, name: str) -> object:
    """The value of a field of a structure of one element; None if it has none."""
    if structure.dtype.names is None or name not in structure.dtype.names or structure.size != 1:
        return None
    return cast(NDArray[np.void], structure)[name].flatten()[0]
