"""What do gates bring? The same U-Net with none, with channel gates, with channel and pixel gates, and with NAFNet's, at equal steps and
at equal seconds of one core.

Each network learns Gaussian noise of 25/255 on grey squares of BSDS500 (train and test) by the recipe `denoise` and is measured on
Set12, which nobody trains on. "Equal seconds" gives each as many images as fit into the seconds that the slowest needs for its steps.

    python -m benchmarks.attention [images] [seed ...]
"""

import dataclasses
import sys
import time

import torch

from sfumato.core.device import instructions, keep_memory
from sfumato.data.scenes import load_scenes
from sfumato.evaluation.benchmark import judge_restorer
from sfumato.models import MODELS
from sfumato.recipes import recipe
from sfumato.train.loop import fit

UNET = {"channels": 1, "encoder": (2, 2), "middle": 2, "decoder": (2, 2), "fold": 2}
GATES = {
    "none": {"width": 24},
    "channel": {"width": 24, "channel_gate": "mean"},
    "channel + pixel (CVANet)": {"width": 24, "channel_gate": "mean", "pixel_gate": "pointwise"},
    "CBAM": {"width": 24, "channel_gate": "mean+max", "pixel_gate": "pooled"},
    "NAF": {"width": 36, "convolution": "depthwise", "between": "split", "channel_gate": "linear"},
}


def trained(gate: str, images: int, seed: int):
    """The network, and the processor's seconds that it took."""
    base = recipe("denoise")
    images = max(1, images // base.batch) * base.batch
    settings = dataclasses.replace(
        base,
        model=MODELS["gated"](**UNET, **GATES[gate]),
        images=images,
        optimiser="adam",  # as in the papers whose gates these are
        seed=seed,
        lr_warmup=images // 20,
        log_every=10**9,
        sample_every=10**9,
    )
    began = time.process_time()
    network = fit(settings, data=load_scenes("bsds500", channels=1), device="cpu")
    return network, time.process_time() - began


def figure(network) -> float:
    """PSNR on Set12 in dB."""
    return judge_restorer(network, "noise:25", "set12", precision="bf16")[0].value


def main(images: int, seeds: list[int]) -> None:
    keep_memory()
    torch.set_num_threads(1)
    rows, spent = {}, {}
    print(instructions())
    for gate in GATES:
        runs = [trained(gate, images, seed) for seed in seeds]
        spent[gate] = sum(seconds for _, seconds in runs) / len(runs)
        rows[gate] = (sum(w.numel() for w in runs[0][0].network.parameters()), [figure(network) for network, _ in runs])
        print(gate, rows[gate], f"{spent[gate]:.0f} s", flush=True)
    print(f"\n| gates | parameters | seconds | PSNR after {images:,} images | images in {max(spent.values()):.0f} s | PSNR |")
    print("|---|---|---|---|---|---|")
    for gate, (size, found) in rows.items():
        more = int(images * max(spent.values()) / spent[gate])
        again = found if more <= images * 1.02 else [figure(trained(gate, more, seed)[0]) for seed in seeds]
        first, second = (" / ".join(f"{value:.2f}" for value in values) for values in (found, again))
        print(f"| {gate} | {size:,} | {spent[gate]:.0f} | {first} | {more:,} | {second} |", flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(numbers[0] if numbers else 16_000, numbers[1:] or [0])
