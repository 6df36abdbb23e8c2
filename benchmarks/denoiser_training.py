"""How much faster does a DnCNN train here than in the usual loop?

17 layers of 64 channels with batch normalisation, grey squares of 40 pixels, 128 at once, as its authors train it. The usual loop is eager
float32, NCHW, Adam as it is, the default allocator. Ours is the step of `sfumato train dncnn`. Each side runs in its own process, in turns;
time is the processor's own with one thread.

    python -m benchmarks.denoiser_training [rounds]
"""

import json
import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

from sfumato.core.device import instructions, keep_memory

STEPS, WARMUP, BATCH, SIDE = 3, 1, 128, 40


def usual() -> float:
    """Images a second in the usual loop."""
    torch.set_num_threads(1)
    layers = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(inplace=True)]
    for _ in range(15):
        layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    net = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1))
    move = torch.optim.Adam(net.parameters(), lr=1e-3)
    clean = torch.rand(BATCH, 1, SIDE, SIDE)

    def step() -> None:
        noisy = clean + 25 / 255 * torch.randn_like(clean)
        move.zero_grad()
        (noisy - net(noisy) - clean).abs().mean().backward()
        move.step()

    return _rate(step)


def ours() -> float:
    """Images a second of the toolkit's step."""
    from sfumato.data.dataset import Dataset
    from sfumato.recipes import recipe
    from sfumato.train.distributed import World
    from sfumato.train.settings import resolve
    from sfumato.train.step import Trainee

    keep_memory()
    torch.set_num_threads(1)
    data = Dataset(name="random", pixels=torch.randint(0, 256, (400, 1, 180, 180), dtype=torch.uint8))
    trainee = Trainee(resolve(recipe("dncnn"), data), data, World(), torch.device("cpu"))
    seen = iter(range(0, 10**6, BATCH))
    return _rate(lambda: trainee.step(next(seen)))


def _rate(step) -> float:
    for _ in range(WARMUP):
        step()
    began = time.process_time()
    for _ in range(STEPS):
        step()
    return STEPS * BATCH / (time.process_time() - began)


def main(rounds: int) -> None:
    seen: dict[str, list[float]] = {"usual": [], "ours": []}
    for _ in range(rounds):
        for who, rates in seen.items():
            keep = {"SFUMATO_MALLOC": "default"} if who == "usual" else {}
            command = [sys.executable, "-m", "benchmarks.denoiser_training", "side", who]
            out = subprocess.run(command, env={**os.environ, **keep}, capture_output=True, text=True, check=True).stdout
            rates.append(json.loads(out.splitlines()[-1]))
    usual_rate, our_rate = (statistics.median(rates) for rates in seen.values())
    print(instructions())
    print(f"usual {usual_rate:.1f} images/s, ours {our_rate:.1f} images/s: {our_rate / usual_rate:.2f}x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["side"]:
        print(json.dumps({"usual": usual, "ours": ours}[sys.argv[2]]()))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
