"""DnCNN, FDnCNN and FFDNet as KAIR keeps them (`model.0.weight` ...), with or without batch normalisation; DnCNN as SaoYan does.

Networks of MatConvNet come as such a chain too (`store/matconvnet.py`).

Batch normalisation is folded into the convolutions: the same function, fewer steps.
"""

import re

import torch

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors

_EPS = {"model": 1e-4, "dncnn": 1e-5, "matconvnet": 0.0}
"""Of batch normalisation; the file does not say."""
_AUTHORS = {
    "model": ("KAIR", "https://github.com/cszn/KAIR", "MIT"),
    "dncnn": ("SaoYan", "https://github.com/SaoYan/DnCNN-PyTorch", "GPL-3.0"),
    "matconvnet": ("MatConvNet", "https://github.com/cszn/DnCNN", ""),
}
"""Whose layout it is by the name of the chain, where it is published, and under which licence."""
_IRCNN = 7
"""As many plain convolutions are an IRCNN, whose dilations the file does not tell."""

Layer = dict[str, torch.Tensor]


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """A chain of 3x3 convolutions whose first and last agree on the channels."""
    names = [
        re.fullmatch(r"(model|dncnn|matconvnet)\.(\d+)\.(weight|bias|running_mean|running_var|num_batches_tracked)", name)
        for name in tensors
    ]
    if not names or not all(names) or len({n[1] for n in names if n}) != 1:
        return None
    owner, layers = names[0][1] if names[0] else "", _layers(tensors)
    convs = _folded(layers, _EPS[owner])
    if convs is None or len(convs) < 3:
        return None
    shapes = [tuple(weight.shape) for weight, _ in convs]
    inputs, outputs, width = shapes[0][1], shapes[-1][0], shapes[0][0]
    inner = [(width, width, 3, 3)] * (len(convs) - 2)
    if shapes != [(width, inputs, 3, 3), *inner, (outputs, width, 3, 3)]:
        return None
    kind = _kind(inputs, outputs)
    if kind is None or (kind[0] == "DnCNN" and owner == "model" and len(convs) == len(layers) == _IRCNN):
        return None
    name, settings = kind
    state = {f"layers.{2 * i}.{part}": value for i, conv in enumerate(convs) for part, value in zip(("weight", "bias"), conv, strict=True)}
    author, origin, terms = _AUTHORS[owner]
    folded = ", batch normalisation folded in" if len(layers) > len(convs) else ""
    return RecognizedWeights(
        layout=f"{name} of {len(convs)} convolutions and {width} channels, {author}'s layout{folded}",
        config=MODELS["dncnn"](width=width, depth=len(convs), **settings),
        state=state,
        origin=origin,
        terms=terms,
    )


def _kind(inputs: int, outputs: int) -> tuple[str, dict[str, int | bool]] | None:
    if inputs == outputs and outputs in (1, 3):
        return "DnCNN", {"channels": outputs}
    if inputs == outputs + 1 and outputs in (1, 3):
        return "FDnCNN", {"channels": outputs, "residual": False, "noise_plane": True}
    if inputs == outputs + 1 and outputs in (4, 12):
        return "FFDNet", {"channels": outputs // 4, "residual": False, "noise_plane": True, "fold": 2}
    return None


def _layers(tensors: Tensors) -> list[Layer]:
    layers: dict[int, Layer] = {}
    for name, value in tensors.items():
        _, number, part = name.split(".")
        layers.setdefault(int(number), {})[part] = value
    return [layers[number] for number in sorted(layers)]


def _folded(layers: list[Layer], eps: float) -> list[tuple[torch.Tensor, torch.Tensor]] | None:
    """Kernel and bias of each convolution, with the normalisation that follows it; None if these are not convolutions and norms."""
    convs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in layers:
        weight = layer.get("weight")
        if weight is not None and weight.ndim == 4:
            convs.append((weight, layer.get("bias", weight.new_zeros(len(weight)))))
        elif weight is not None and convs and {"bias", "running_mean", "running_var"} <= layer.keys() and len(weight) == len(convs[-1][0]):
            kernel, bias = convs[-1]
            gain = weight.double() / (layer["running_var"].double() + eps).sqrt()
            shifted = (bias.double() - layer["running_mean"].double()) * gain + layer["bias"].double()
            convs[-1] = (kernel.double() * gain[:, None, None, None]).float(), shifted.float()
        else:
            return None
    return convs
