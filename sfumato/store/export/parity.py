"""The outputs of an exported file beside those of its model, on random inputs, computed in a process without PyTorch."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.models.roles.graph import ExportGraph, GraphInput
from sfumato.store.export import standalone
from sfumato.store.export.facts import Parity

SIZES = ((97, 93), (256, 311), (512, 512))
"""Heights and widths of the pictures that are compared, rounded up to multiples; none is that of the example."""
BATCHES = (1, 3, 1)
TOLERANCE = 1e-4
"""Largest difference of a file in float32, as a share of full scale."""


def parity(file: Path, graph: ExportGraph, *, tolerance: float = TOLERANCE, seed: int = 0) -> Parity:
    """The largest difference between `file` and `graph`, for three sizes and for one and three images.

    Raises CheckpointError if the file cannot be computed, has other outputs, or differs by more than `tolerance`.
    """
    cases = [random_inputs(graph, size, batch, seed=seed + i) for i, (size, batch) in enumerate(zip(SIZES, BATCHES, strict=True))]
    arrays = {f"{i}/{name}": value.numpy() for i, case in enumerate(cases) for name, value in case.items()}
    outputs = _computed(file, arrays)
    worst = 0.0
    for i, case in enumerate(cases):
        with torch.no_grad():
            expected = graph.module(*case.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for number, each in enumerate(expected):
            output = outputs.get(f"{i}/{number}")
            if output is None or output.shape != tuple(each.shape):
                shape = "missing" if output is None else output.shape
                raise CheckpointError(f"{file}: output {graph.outputs[number]} is {shape}, and that of the model {tuple(each.shape)}")
            worst = max(worst, float(np.abs(output - each.numpy()).max()) / max(1.0, each.abs().max().item()))
    if not worst <= tolerance:
        raise CheckpointError(f"{file} differs from the model by {worst:.1e} of full scale; it may by {tolerance:g}")
    shapes = tuple(" x ".join(map(str, next(iter(case.values())).shape)) for case in cases)
    return Parity(difference=worst, shapes=shapes, runtime=str(outputs["runtime"]))


def random_inputs(graph: ExportGraph, size: tuple[int, int], batch: int, *, seed: int) -> dict[str, Tensor]:
    """Random values for the inputs of a graph by name: `batch` images of about this height and width, rounded up to multiples."""
    rng = seeded_generator(seed, "verify")
    return {each.name: _random(each, size, batch, rng) for each in graph.inputs}


def _random(each: GraphInput, size: tuple[int, int], batch: int, rng: torch.Generator) -> Tensor:
    """Random values for an input: numbers of classes, images in [0, 1], latents and noise of unit variance, or its example."""
    step = each.stride * each.multiple
    lengths = {0: batch, 2: -(-size[0] // step) * each.multiple, 3: -(-size[1] // step) * each.multiple}
    shape = [lengths[axis] if axis in each.free else length for axis, length in enumerate(each.example.shape)]
    if not each.example.is_floating_point():
        return torch.randint(int(each.example.max()) + 1, shape, generator=rng)
    if not each.free:
        return each.example.clone()
    is_image = bool(each.example.min() >= 0) and each.example.dim() == 4 and bool(each.example.any())
    return torch.rand(shape, generator=rng) if is_image else torch.randn(shape, generator=rng)


def _computed(file: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of `file`, computed in a process of its own."""
    if not file.is_file():
        raise SettingError(f"no file {file} to compare; export the model first")
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place, "inputs.npz"), Path(place, "outputs.npz")
        np.savez(source, allow_pickle=False, **arrays)
        command = [sys.executable, "-I", str(Path(standalone.__file__)), str(file.resolve()), str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise CheckpointError(f"{file} cannot be computed: {lines[-1][:200] if lines else f'the process ended with {done.returncode}'}")
        with np.load(target) as results:
            return dict(results)
