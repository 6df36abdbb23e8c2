"""Is this checkout slower than another one? Both run the same work in turns, in one run, and the seconds of the processor are compared.

Each task runs in two processes, one a checkout, that prepare it, run it once, and then run it again whenever they are told to: first the
one, then the other, and in the next round the other way round. So a machine that is busy with other work slows both alike. Printed are the
median seconds of the processor of either, and this checkout's time over the other's: the median over the rounds, and that of the least
times, which other work can only raise. The bar is 1.03, and a task is slower if both ratios are above it. All tasks use the public
functions that both have, bundled models, and pictures that are drawn here. A task that the other checkout cannot do is named and left out.

    git worktree add /tmp/before COMMIT
    python -m benchmarks.compare /tmp/before
    python -m benchmarks.compare /tmp/before --only restore train --rounds 9 --threads 2
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from sfumato.core.device import instructions

HERE = Path(__file__).parents[1]
BAR = 1.03
COMMON = """
import dataclasses, pathlib, sys, tempfile, time
import numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.data.dataset import Dataset
keep_memory()

def picture(side, noise=20):
    rng = np.random.default_rng(0)
    pixels = np.full((side, side, 3), 128.0)
    for y, x, tall, wide in rng.integers(1, side, (60, 4)):
        pixels[y : y + tall // 3 + 2, x : x + wide // 3 + 2] = rng.integers(0, 256, 3)
    return (pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)

def training(name, side, images, channels=3, **changes):
    pixels = torch.randint(256, (64, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Dataset(name="drawn", pixels=pixels)
    recipe = sf.recipe(name)
    settings = dataclasses.replace(recipe, images=images, validation=0.0, sample_every=10**9, save_every=10**9, **changes)
    return lambda: sf.fit(settings, data=data, device="cpu")

def folder(count, side):
    place = pathlib.Path(tempfile.mkdtemp())
    for i in range(count):
        sf.write(place / f"{i}.png", sf.Picture(pixels=torch.from_numpy(np.roll(picture(side), i, 0))))
    return place

def restoring(count, side):
    place, rounds = folder(count, side), iter(range(1000))
    request = sf.RestorationRequest(task="denoise")
    return lambda: sf.restore_pictures([place], place.with_name(f"{place.name}-{next(rounds)}"), request)
"""
LOOP = """
torch.manual_seed(0)
work()
for line in sys.stdin:
    began = time.process_time()
    work()
    print("seconds", time.process_time() - began, flush=True)
"""
TASKS = {
    "restore, task named, 384 pixels": "shown = picture(384); work = lambda: sf.restore(shown, task='denoise')",
    "restore, bf16, 384 pixels": "shown = picture(384); work = lambda: sf.restore(shown, task='denoise', precision='bf16')",
    "network restore, bf16, 384 pixels": "shown = picture(384); work = lambda: sf.restore(shown, 'restore', precision='bf16')",
    "restore auto, one megapixel": "shown = picture(1024); work = lambda: sf.restore(shown)",
    "restore auto, clean, one megapixel": "shown = picture(1024, noise=0); work = lambda: sf.restore(shown)",
    "restore auto, a JPEG, one megapixel": (
        "import io; from PIL import Image; file = io.BytesIO()\n"
        "Image.fromarray(picture(1024, noise=2)).save(file, 'JPEG', quality=50)\n"
        "shown = np.asarray(Image.open(file)); work = lambda: sf.restore(shown)"
    ),
    "restore auto, coarse noise, one megapixel": (
        "from scipy.ndimage import gaussian_filter\n"
        "grain = gaussian_filter(np.random.default_rng(1).normal(size=(1024, 1024, 3)), (0.8, 0.8, 0))\n"
        "shown = (picture(1024, noise=0) + grain * 8 / grain.std()).clip(0, 255).astype(np.uint8); work = lambda: sf.restore(shown)"
    ),
    "restore a folder of 24 of 128 pixels": "work = restoring(24, 128)",
    "fill in a hole, 256 pixels": (
        "shown = picture(256, 0); hole = np.zeros((256, 256), np.uint8); hole[90:120, 60:200] = 255\n"
        "work = lambda: sf.restore(shown, task='inpaint', mask=hole)"
    ),
    "generate 64 of cats": "model = sf.load('cats'); work = lambda: sf.generate(model, 64)",
    "generate 512 digits": "model = sf.load('digits'); work = lambda: sf.generate(model, 512)",
    "project onto cats, 10 steps": (
        "model = sf.load('cats'); goal = sf.generate(model, 1)[0]\nwork = lambda: sf.project(model, goal, steps=10)"
    ),
    "dream, 8 steps, 128 pixels": (
        "options = sf.Dream(layers=('stages.7',), steps=4, octaves=2); shown = picture(128)[..., 0].copy()\n"
        "work = lambda: sf.dream(shown, 'fashion-classifier', options)"
    ),
    "train vae, 256 images of 32 pixels": "work = training('vae', 32, 256)",
    "train dcgan, 256 images of 32 pixels": "work = training('dcgan', 32, 256)",
    "train stylegan, 64 images of 32 pixels": "work = training('stylegan', 32, 64, grow=0)",
    "train classifier, 512 images of 32 pixels": (
        "pixels = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)\n"
        "data = Dataset(name='drawn', pixels=pixels, labels=torch.arange(64) % 4, classes=tuple('abcd'))\n"
        "settings = dataclasses.replace(sf.recipe('classifier'), images=512, validation=0.0, sample_every=10**9, save_every=10**9)\n"
        "work = lambda: sf.fit(settings, data=data, device='cpu')"
    ),
    "train denoise, 32 squares of 64 pixels": "work = training('denoise', 96, 32, channels=1, batch=16, patch=64)",
    "train inpaint, 16 squares of 64 pixels": "work = training('inpaint', 96, 16, batch=8, patch=64)",
    "train upscale-gan, 48 squares of 64 pixels": "work = training('upscale-gan', 96, 48, batch=16, patch=64)",
    "load twelve models": "work = lambda: [sf.load(name) for name in sorted(sf.bundled())[:12]]",
    "load a folder of 60 of 96 pixels": "place = folder(60, 96); work = lambda: sf.load_dataset(place, size=(64, 64))",
}


class Side:
    """A process of one checkout that is ready to run a task."""

    def __init__(self, checkout: Path, task: str, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
        program = [sys.executable, "-W", "ignore", "-c", COMMON + TASKS[task] + LOOP, str(threads)]
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=checkout
        )

    def seconds(self) -> float | None:
        """Runs the task once more. The seconds of the processor; None if the checkout cannot do the task."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        line = next((line for line in self._process.stdout if line.startswith("seconds ")), "")
        return float(line.split()[1]) if line else None

    def end(self) -> str:
        """Ends the process, and returns its last line of errors."""
        self._process.kill()
        _, errors = self._process.communicate()
        return (errors.strip().splitlines() or [""])[-1]


def compared(task: str, other: Path, rounds: int, threads: int) -> float | None:
    """Prints the line of one task, and returns this checkout's time over that of the `other`: the smaller of the two ratios."""
    sides = {"this": Side(HERE, task, threads), "other": Side(other, task, threads)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    try:
        for number in range(rounds):
            for name in list(sides) if number % 2 else list(sides)[::-1]:
                took = sides[name].seconds()
                if took is None:
                    print(f"{task:44} {name} checkout cannot do it: {sides[name].end()}", flush=True)
                    return None
                times[name].append(took)
    finally:
        for side in sides.values():
            side.end()
    middle, least = (
        statistics.median(a / b for a, b in zip(times["this"], times["other"], strict=True)),
        min(times["this"]) / min(times["other"]),
    )
    ours, theirs = (statistics.median(times[name]) for name in ("this", "other"))
    ratio = min(middle, least)
    print(f"{task:44} {theirs:8.3f} s {ours:8.3f} s   {middle:5.3f} {least:5.3f}{'  slower' if ratio > BAR else ''}", flush=True)
    return ratio


def main() -> None:
    """Compares all tasks, or those whose name holds a word of `--only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="words in the names of the tasks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(instructions())
    print(f"{'':44} {'other':>10} {'this':>10}   median and least ratio")
    tasks = [task for task in TASKS if any(word in task for word in options.only)]
    ratios = [ratio for task in tasks if (ratio := compared(task, options.other.resolve(), options.rounds, options.threads)) is not None]
    slower = sum(ratio > BAR for ratio in ratios)
    print(f"{slower} of {len(ratios)} slower by more than {BAR - 1:.0%}; median ratio {statistics.median(ratios):.3f}")
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
