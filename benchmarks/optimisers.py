"""What does Muon bring? The same recipe with Adam and with Muon: after as many images, and after as many seconds of one core.

Measured on images that nobody trains on, with the damage that the recipe is for. "As many seconds" gives Adam as many images as fit into
the seconds that Muon needs for its own.

    python -m benchmarks.optimisers [recipe] [images] [seed ...]
"""

import dataclasses
import sys
import time

import torch

from sfumato.core.device import instructions, keep_memory
from sfumato.data.scenes import load_scenes
from sfumato.evaluation.benchmark import judge_restorer
from sfumato.recipes import recipe
from sfumato.train.loop import fit

TRIALS = {
    "denoise": ("noise:25", "set12"),
    "restore": ("noise:25", "set12"),
    "restore-grey": ("noise:25", "set12"),
    "inpaint": ("missing:50", "set12"),
    "deblur": ("blur:1.6", "set12"),
    "deblur-grey": ("blur:1.6", "set12"),
    "upscale-x2": ("x2", "set5"),
    "upscale-x4": ("x4", "set5"),
}


def trained(name: str, optimiser: str, images: int, seed: int):
    """The network, and the processor's seconds that it took."""
    base = recipe(name)
    images = max(1, images // base.batch) * base.batch
    settings = dataclasses.replace(
        base, optimiser=optimiser, images=images, seed=seed, lr_warmup=images // 20, log_every=10**9, sample_every=10**9
    )
    data = load_scenes(base.data, channels=base.model.channels)
    began = time.process_time()
    network = fit(settings, data=data, device="cpu")
    return network, time.process_time() - began


def main(name: str, images: int, seeds: list[int]) -> None:
    keep_memory()
    torch.set_num_threads(1)
    trial, data = TRIALS[name]
    print(instructions())
    print(f"{name}, {trial} on {data}\n\n| optimiser | images | seconds | PSNR |\n|---|---|---|---|")

    def row(optimiser: str, images: int) -> float:
        runs = [trained(name, optimiser, images, seed) for seed in seeds]
        seconds = sum(spent for _, spent in runs) / len(runs)
        found = [judge_restorer(network, trial, data, precision="bf16")[0].value for network, _ in runs]
        print(f"| {optimiser} | {images:,} | {seconds:.0f} | {' / '.join(f'{value:.2f}' for value in found)} |", flush=True)
        return seconds

    longer = row("muon", images) / row("adam", images)
    if longer > 1.02:
        row("adam", int(images * longer))


if __name__ == "__main__":
    words = sys.argv[1:] or ["restore-grey"]
    numbers = [int(word) for word in words[1:]]
    main(words[0], numbers[0] if numbers else 16_000, numbers[1:] or [0])
