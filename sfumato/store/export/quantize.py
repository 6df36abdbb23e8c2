"""Weights and activations of an exported graph in 8 bits, with ranges that are calibrated on pictures.

Convolutions are quantised, each output channel of their weights by itself; the first and the last convolution, which see and make the
picture, stay in float32. A graph in this form takes about a quarter of the bytes.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.extras import missing
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import size_text, to_images
from sfumato.data.scenes import load_scenes
from sfumato.models.roles.graph import ExportGraph, GraphInput
from sfumato.nn.resample import resize

PICTURES = 24
"""Pictures that calibrate the ranges."""
SIDE = 256
"""Height and width of their crops, for networks that take any size."""
NOISES = (0.0, 5 / 255, 25 / 255)
"""Standard deviations of the noise that is added to the pictures, in turn: a restorer sees degraded ones."""


def quantized(content: bytes, graph: ExportGraph, pictures: str | Path, *, seed: int = 0) -> bytes:
    """The ONNX file `content` of `graph` in 8 bits, calibrated on up to 24 `pictures` of a folder, an archive or a named data set.

    Raises SettingError for a graph whose inputs are not pictures, DataError without pictures, MissingExtraError without onnxruntime.
    """
    check(graph)
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise missing("8 bits need", "onnx") from error

    class Reader(quantization.CalibrationDataReader):
        """Hands one picture after the other to onnxruntime."""

        def __init__(self) -> None:
            self.cases = _cases(graph, pictures, seed=seed)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride] - None ends the data
            """The inputs of the next picture; None at the end."""
            return next(self.cases, None)

    with tempfile.TemporaryDirectory() as place:
        source, prepared, target = (Path(place, name) for name in ("source.onnx", "prepared.onnx", "target.onnx"))
        source.write_bytes(content)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_ends(prepared),
        )
        return target.read_bytes()


def check(graph: ExportGraph) -> None:
    """Raises SettingError for a graph whose inputs are not pictures."""
    if graph.inputs[0].example.dim() != 4 or any(each.name not in ("planes", "reference") for each in graph.inputs[1:]):
        raise SettingError(f"8 bits are for networks that take pictures; this graph takes {', '.join(each.name for each in graph.inputs)}")
    if graph.facts.get("plane_channels", 0) != len(cast(list[str], graph.facts.get("conditioning", []))):
        raise SettingError("8 bits are not for a network that takes guides beside the picture, such as the corrector of a deblurrer")


def _ends(path: Path) -> list[str]:
    """The names of the first and of the last convolution of a graph."""
    import onnx

    convolutions = [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    return list({convolutions[0], convolutions[-1]}) if len(convolutions) > 2 else []


def _cases(graph: ExportGraph, pictures: str | Path, *, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of the graph for some pictures, with noise of several levels and with planes to fit."""
    rng = seeded_generator(seed, "calibration")
    scenes = load_scenes(pictures, channels=cast(int, graph.facts["channels"]), part="all")
    first = graph.inputs[0]
    for i, scene in enumerate(scenes.pictures[:PICTURES]):
        noise = NOISES[i % len(NOISES)]
        image = _fitting(to_images(scene[None]), first)
        degraded = (image + noise * torch.randn(image.shape, generator=rng)).clamp(0, 1)
        case = {first.name: degraded.numpy()}
        for each in graph.inputs[1:]:
            case[each.name] = (image if each.name == "reference" else _planes(graph, image, noise, rng)).numpy()
        yield case


def _fitting(image: Tensor, first: GraphInput) -> Tensor:
    """The middle of a picture at a size that the input takes."""
    h, w = image.shape[2:]
    if 2 not in first.free:
        return resize(image, (first.example.shape[2], first.example.shape[3])).clamp(0, 1)
    tall, wide = (min(SIDE, side) // first.multiple * first.multiple for side in (h, w))
    if min(tall, wide) < 1:
        raise SettingError(
            f"a picture of {size_text((h, w))} pixels is too small to calibrate; both sides must be {first.multiple} or more"
        )
    return image[:, :, (h - tall) // 2 :, (w - wide) // 2 :][:, :, :tall, :wide]


def _planes(graph: ExportGraph, image: Tensor, noise: float, rng: torch.Generator) -> Tensor:
    """The planes for a picture: its noise, a quality from 10 to 90, and a tenth of the pixels missing."""
    n, _, h, w = image.shape
    planes = {
        "noise": torch.full((n, 1, h, w), noise),
        "quality": torch.full((n, 1, h, w), 0.1 + 0.8 * torch.rand((), generator=rng).item()),
        "observed": (torch.rand(n, 1, h, w, generator=rng) > 0.1).float(),
    }
    return torch.cat([planes[name] for name in cast(list[str], graph.facts["conditioning"])], dim=1)
