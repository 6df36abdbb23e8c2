"""Exported models: networks as ONNX or OpenVINO files, for programs without PyTorch.

    model ─ graph (role) ─ torch.onnx ─ facts ─> m.onnx ─ onnxruntime | openvino ─ network with the same role

| file | contents |
|---|---|
| `facts.py` | the facts about a network that its file carries beside the graph |
| `write.py` | a model to a file |
| `quantize.py` | weights and activations in 8 bits, calibrated on pictures |
| `sessions.py` | the two libraries that compute a graph, behind one call |
| `networks.py` | the roles, filled by an exported file |
| `read.py` | a file to a model |
| `backend.py` | networks of a loaded model replaced by graphs, for `--backend` |
| `verify.py` | the outputs of a file beside those of its model, in a process without PyTorch |

Padding, tiling and colour conversion stay outside the graph. The facts say what they need: scale, pad multiple, receptive radius.
"""
