"""Do exported files compute what their models compute, and how fast, in 32 and in 8 bits?

    python -m benchmarks.export parity            every graph of every bundled model, beside the model
    python -m benchmarks.export speed [rounds]    the grey network of `restore`, 512 x 512, one thread: ours in float32 beside both runtimes
    python -m benchmarks.export bits              its PSNR on Set12 with noise 25, in 32 and in 8 bits (SFUMATO_DATA)

The runtimes take turns in one process; a time is the least of all rounds, in seconds of the processor. The 8 bits are calibrated on the
training part of BSDS500 (SFUMATO_DATA).
"""

import sys
import tempfile
import time
from pathlib import Path

import torch

from sfumato.core.device import instructions
from sfumato.data.scenes import load_scenes
from sfumato.models.roles.base import export_graphs
from sfumato.restoration.tiles import apply_restorer, optimized
from sfumato.store import weights
from sfumato.store.export.export import export
from sfumato.store.export.read import load

SIDE = 512


def parity():
    for name in weights.bundled():
        for part in export_graphs(weights.load(name).network):
            with tempfile.TemporaryDirectory() as place:
                facts = export(name, Path(place, "m.onnx"), part=part).facts
            print(f"{name:20} {part:12} {facts.parity.difference:.1e} of full scale ({facts.parity.runtime})", flush=True)


def files(place):
    """The grey network as a float32 and as an 8-bit file."""
    exact = export("restore", place / "exact.onnx", part="grey").path
    return exact, export("restore", place / "small.onnx", part="grey", int8="bsds500").path


def speed(rounds):
    torch.set_num_threads(1)
    image = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    ours = optimized(weights.load("restore").network.grey, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        exact, small = files(Path(folder))
        sides = {"ours float32": ours.restore}
        for runtime in ("onnxruntime", "openvino"):
            sides[f"{runtime} float32"] = load(exact, runtime=runtime, threads=1).network.restore
            sides[f"{runtime} int8"] = load(small, runtime=runtime, threads=1).network.restore
        best = dict.fromkeys(sides, float("inf"))
        with torch.inference_mode():
            for _ in range(rounds):
                for name, compute in sides.items():
                    began = time.process_time()
                    compute(image)
                    best[name] = min(best[name], time.process_time() - began)
    base = best["ours float32"]
    for name, seconds in best.items():
        print(f"{name:20} {seconds:.3f} s   {base / seconds:.2f} x ours in float32")
    print("one thread")
    print(instructions())


def bits():
    scenes = load_scenes("set12", channels=1, part="all").pictures
    with tempfile.TemporaryDirectory() as folder:
        exact, small = files(Path(folder))
        sides = {"ours float32": weights.load("restore").network.grey}
        for runtime in ("onnxruntime", "openvino"):
            sides |= {f"{runtime} float32": load(exact, runtime=runtime), f"{runtime} int8": load(small, runtime=runtime)}
        for name, model in sides.items():
            values = []
            for i, scene in enumerate(scenes):
                clean = scene[None] / 255
                noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(i))
                error = (apply_restorer(model, noisy) - clean).square().mean()
                values.append(-10 * error.log10().item())
            print(f"{name:20} {sum(values) / len(values):.3f} dB", flush=True)


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or ["parity"]
    {"parity": parity, "speed": lambda: speed(int(rest[0]) if rest else 10), "bits": bits}[what]()
