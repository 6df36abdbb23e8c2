"""Computes an exported file with numpy and its runtime alone: `python standalone.py m.onnx inputs.npz outputs.npz`.

`verify` runs this file in a process of its own, which stops if anything in it imports PyTorch.
"""

import sys
from pathlib import Path


def compute(file: str, source: str, target: str) -> None:
    """Computes `file` for each case in `source` (arrays called CASE/INPUT), and writes the outputs (CASE/NUMBER) to `target`."""
    import numpy as np

    arrays, results = np.load(source), {}
    if Path(file).suffix == ".xml":
        import openvino

        runtime = f"openvino {openvino.__version__.partition('-')[0]}"
        model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        names = {name for each in model.inputs for name in each.names}
    else:
        import onnxruntime

        runtime = f"onnxruntime {onnxruntime.__version__}"
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = {each.name for each in session.get_inputs()}
    for case in sorted({key.split("/")[0] for key in arrays}):
        inputs = {key.split("/")[1]: arrays[key] for key in arrays if key.startswith(f"{case}/")}
        inputs = {name: value for name, value in inputs.items() if name in names}
        if Path(file).suffix == ".xml":
            computed = model(inputs)
            outputs = [computed[each] for each in model.outputs]
        else:
            outputs = session.run(None, inputs)
        results |= {f"{case}/{i}": output for i, output in enumerate(outputs)}
    if "torch" in sys.modules:
        raise SystemExit("PyTorch was imported, so that this comparison would prove nothing")
    np.savez(target, runtime=np.array(runtime), **results)


if __name__ == "__main__":
    compute(*sys.argv[1:])
