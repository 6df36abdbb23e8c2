"""Computes an exported file with numpy and its runtime alone: `python standalone.py m.onnx inputs.npz outputs.npz`.

`verify` runs this file in a process of its own, which stops if anything in it imports PyTorch.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def compute(file: str, source: str, target: str) -> None:
    """Computes `file` for each case in `source` (arrays called CASE/INPUT), and writes the outputs (CASE/NUMBER) to `target`."""
    import numpy as np

    arrays, results = np.load(source), {}
    run, names, runtime = _opened(file)
    for case in sorted({key.split("/")[0] for key in arrays}):
        inputs = {key.split("/")[1]: arrays[key] for key in arrays if key.startswith(f"{case}/")}
        outputs = run({name: value for name, value in inputs.items() if name in names})
        results |= {f"{case}/{i}": output for i, output in enumerate(outputs)}
    if "torch" in sys.modules:
        raise SystemExit("PyTorch was imported, so that this comparison would prove nothing")
    np.savez(target, runtime=np.array(runtime), **results)


def _opened(file: str) -> "tuple[Callable[[dict[str, np.ndarray]], Sequence[object]], set[str], str]":
    """A function that computes the graph, the names of its inputs, and the library with its version."""
    if Path(file).suffix == ".xml":
        openvino = importlib.import_module("openvino")
        model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(inputs: "dict[str, np.ndarray]") -> "Sequence[object]":
            computed = model(inputs)
            return [computed[each] for each in model.outputs]

        return run, {name for each in model.inputs for name in each.names}, f"openvino {openvino.__version__.partition('-')[0]}"
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    return lambda inputs: session.run(None, inputs), names, f"onnxruntime {onnxruntime.__version__}"


if __name__ == "__main__":
    compute(*sys.argv[1:])
