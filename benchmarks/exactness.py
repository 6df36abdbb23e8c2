"""What do tiles and half the digits cost?

For each bundled restorer: the largest difference between a picture repaired in tiles and as a whole, over pictures, tiles and sides at
random that are larger than the network sees; and PSNR in fp32 and in bf16, where everybody measures it. Files of networks that were
imported may follow, which are asked to take out noise of 25/255.

    python -m benchmarks.exactness [model.safetensors ...]
"""

import random
import sys

import torch

import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.evaluation.benchmark import judge_restorer
from sfumato.models.roles.restorer import Deblurrer
from sfumato.nn.blurs import point_spread
from sfumato.restoration.tiles import apply_restorer

TRIALS = {
    "restore": ("noise:25", "set12"),
    "inpaint": ("missing:50", "set12"),
    "deblur": ("blur:1.6", "set12"),
    "upscale-x2": ("x2", "set5"),
    "upscale-x3": ("x3", "set5"),
    "upscale-x4": ("x4", "set5"),
}


def difference(model: str, seed: int) -> float:
    """The largest between tiles and the whole, of one picture of noise."""
    net, rng = sf.load(model), random.Random(seed)
    long, tile = 2 * net.network.receptive_radius + rng.randrange(100, 300), rng.randrange(16, 100)
    h, w = rng.sample((long, rng.randrange(8, 60)), 2)
    images, known = torch.rand(1, rng.choice((1, 3)), h, w), (torch.rand(1, 1, h, w) > 0.4).float()
    told = {name: value for name, value in {"observed": known, "noise": 0.01}.items() if name in net.network.conditioning}
    if isinstance(net, Deblurrer):
        told["kernels"] = point_spread("motion", 7, angle=30)
    return (apply_restorer(net, images, **told) - apply_restorer(net, images, tile=tile, **told)).abs().max().item()


def loss(model: str, damage: str, data: str) -> tuple[float, float]:
    """PSNR in fp32, and by how much bf16 is below it."""
    fine, coarse = (judge_restorer(model, damage, data, precision=form)[0].value for form in ("fp32", "bf16"))
    return fine, fine - coarse


def main(files: list[str]) -> None:
    keep_memory()
    torch.manual_seed(0)
    print("| model | tiles against the whole, at most | measured on | fp32 | bf16 loses |\n|---|---|---|---|---|")
    for model, (damage, data) in TRIALS.items():
        apart = max(difference(model, seed) for seed in range(8))
        fine, lost = loss(model, damage, data)
        print(f"| `{model}` | {apart:.1e} | {damage}, {data} | {fine:.3f} dB | {lost:.4f} dB |", flush=True)
    for file in files:
        fine, lost = loss(file, "noise:25", "bsd68")
        print(f"| {file} | | noise:25, bsd68 | {fine:.3f} dB | {lost:.4f} dB |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
