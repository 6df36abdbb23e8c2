"""SqueezeNet 1.1, AlexNet, VGG16 and GoogLeNet as torchvision keeps them; the Inception of the FID as pytorch-fid and torch-fidelity do."""

import dataclasses
import re

import torch

from sfumato.models import MODELS
from sfumato.models.base import NetworkSettings
from sfumato.store.foreign.base import RecognizedWeights, Tensors, renamed

_SIGNS = {
    "squeezenet": "features.12.squeeze.weight",
    "alexnet": "features.10.weight",
    "vgg16": "features.28.weight",
    "googlenet": "inception5b.branch1.conv.weight",
    "inception": "Mixed_7c.branch1x1.conv.weight",
}
"""A name of each that the others do not have."""
_TRAINING_ONLY = r"(aux1|aux2|AuxLogits)\..*|.*\.num_batches_tracked"
_FID_CLASSES = 1008
"""With any other number it is a later Inception, whose blocks pool otherwise under the same names."""


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Exactly the names and shapes of one of the five, with or without its head."""
    kept = {name: value for name, value in tensors.items() if not re.fullmatch(_TRAINING_ONLY, name)}
    # VGG16 has AlexNet's names among its own, so the longest sign that is there decides.
    trunk = max((t for t, sign in _SIGNS.items() if sign in kept), key=lambda t: t == "vgg16", default="")
    if not trunk:
        return None
    state = renamed(
        kept, (r"features\.(.+)", r"steps.\1"), (r"classifier\.(.+)", r"head.\1"), (r"fc\.(.+)", r"head.fc.\1"), (r"(.+)", r"steps.\1")
    )
    assert state is not None
    heads = [value for name, value in state.items() if re.fullmatch(r"head\..*\.?weight", name)]
    classes = len(heads[-1]) if heads else 0
    if trunk == "inception" and classes not in (0, _FID_CLASSES):
        return None
    config = MODELS["features"](trunk=trunk, classes=classes, resize="tf1" if trunk == "inception" else "bicubic")
    whole = _completed(state, config)
    names = {
        "squeezenet": "SqueezeNet 1.1",
        "alexnet": "AlexNet",
        "vgg16": "VGG16",
        "googlenet": "GoogLeNet",
        "inception": "Inception of 2015",
    }
    head = f"{classes} classes" if classes else "no head"
    return (
        None
        if whole is None
        else RecognizedWeights(layout=f"{names[trunk]}, {head}", config=config, state=whole, notes="trained on ImageNet by others")
    )


def trunk_of(recognized: RecognizedWeights) -> str:
    """The name of the recognised trunk."""
    return str(getattr(recognized.config, "trunk", ""))


def headless(recognized: RecognizedWeights) -> RecognizedWeights:
    """The same without the head, which gives scores."""
    state = {name: value for name, value in recognized.state.items() if not name.startswith("head.")}
    resize = getattr(recognized.config, "resize", "bicubic")
    return dataclasses.replace(recognized, config=MODELS["features"](trunk=trunk_of(recognized), classes=0, resize=resize), state=state)


def _completed(state: Tensors, config: NetworkSettings) -> Tensors | None:
    """`state` with the counters that only training needs, or None unless its names and shapes are those of the network."""
    with torch.device("meta"):
        expected = {name: value.shape for name, value in config.build().state_dict().items()}
    counters = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith(".num_batches_tracked")}
    whole = {**state, **counters}
    return whole if {name: value.shape for name, value in whole.items()} == expected else None
