"""How much faster does the classic DCGAN train here than in the plain loop of the tutorials?

Same network (64 px, 3 channels, z 100, 64 and 64 channels, batch 64), same work a step: one generator forward, three
discriminator forwards. The plain loop is eager float32, NCHW, the default allocator, gradients for all weights in all three
passes. Ours is `sfumato train dcgan-classic`: channels last, frozen where gradients are thrown away, fused Adam, blocks of memory
kept, and bf16 where the processor has it. Each side runs in its own process, in turns.

    python -m benchmarks.dcgan [rounds] [threads]
"""

import dataclasses
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime

import torch
from torch import nn

from sfumato.core.device import instructions, keep_memory, set_threads

STEPS, WARMUP, BATCH = 6, 2, 64


def plain(threads: int) -> float:
    """Images a second of CPU time in the tutorials' loop."""
    torch.set_num_threads(threads)
    g, d = _generator(), _discriminator()
    loss = nn.BCEWithLogitsLoss()
    move_d, move_g = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (d, g))
    images = torch.rand(BATCH, 3, 64, 64) * 2 - 1
    one, zero = torch.ones(BATCH), torch.zeros(BATCH)

    def step() -> None:
        d.zero_grad()
        loss(d(images).view(-1), one).backward()
        fake = g(torch.randn(BATCH, 100, 1, 1))
        loss(d(fake.detach()).view(-1), zero).backward()
        move_d.step()
        g.zero_grad()
        loss(d(fake).view(-1), one).backward()
        move_g.step()

    return _rate(step)


def ours(threads: int) -> float:
    """Images a second of CPU time in the toolkit's step."""
    from sfumato.data.dataset import Dataset
    from sfumato.recipes import recipe
    from sfumato.train.distributed import World
    from sfumato.train.settings import resolve
    from sfumato.train.step import Trainee

    keep_memory()
    set_threads(threads)
    data = Dataset(name="random", pixels=torch.randint(0, 256, (512, 3, 64, 64), dtype=torch.uint8))
    trainee = Trainee(resolve(dataclasses.replace(recipe("dcgan-classic"), batch=BATCH), data), data, World(), torch.device("cpu"))
    reference = sum(w.numel() for m in (_generator(), _discriminator()) for w in m.parameters())
    assert abs(sum(w.numel() for w in trainee.model.parameters()) - reference) < 100, "the two networks differ"
    seen = iter(range(0, 10**6, BATCH))
    return _rate(lambda: trainee.step(next(seen)))


def _rate(step) -> float:
    for _ in range(WARMUP):
        step()
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(STEPS):
        step()
    wall = time.perf_counter() - began
    # On a busy machine with one thread, time on the processor is the honest clock; with more, only the wall is.
    spent = time.process_time() - cpu if torch.get_num_threads() == 1 else wall
    return STEPS * BATCH / spent


def _generator() -> nn.Sequential:
    widths, layers = [512, 256, 128, 64], []
    layers += [nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(True)]
    for a, b in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def _discriminator() -> nn.Sequential:
    widths = [64, 128, 256, 512]
    layers = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for a, b in itertools.pairwise(widths):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 0, bias=False))


def main(rounds: int = 3, threads: int = 1) -> None:
    rates: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for side, found in rates.items():
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            code = f"from benchmarks.dcgan import {side}; print({side}({threads}))"
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
            found.append(float(out.split()[-1]))
    speed = {side: statistics.median(found) for side, found in rates.items()}
    print(instructions())
    about = {"date": datetime.now(UTC).date().isoformat(), "torch": torch.__version__, "machine": platform.machine(), "threads": threads}
    print(f"plain eager fp32 NCHW, default allocator: {speed['plain']:.1f} images/s")
    print(f"sfumato train dcgan-classic:              {speed['ours']:.1f} images/s")
    print(f"ratio: {speed['ours'] / speed['plain']:.2f} (bar: 2.0)")
    print(json.dumps({**about, "rates": rates}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
