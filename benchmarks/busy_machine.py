"""What do all cores bring, and what do they cost when other programs want them too?

The commands of a person are timed as a whole, the start of Python and torch included: the repair of a picture of half a megapixel, and
a short training of a DCGAN. Each runs with one thread (`--threads 1`), with as many as it takes by default, and with those in the way
that torch leaves them, where a thread that waits keeps its core busy. All of that on the machine as it is, and again beside two
processes that do nothing but count. Rounds are interleaved, so that a change of the machine meets all; the figure is the median.

    python -m benchmarks.busy_machine [ROUNDS]
"""

import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from sfumato.core.device import instructions
from sfumato.core.tensors import to_pixels
from sfumato.io.files import save_image

SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
"""What the OpenMP of torch does if nobody asks for anything else."""
WAYS = {"--threads 1": (["--threads", "1"], {}), "default": ([], {}), "default, spinning": ([], SPINNING)}
BAR = 1.5


def jobs(folder: Path) -> dict[str, list[str]]:
    """The commands, without their --out, by name."""
    h, w = 612, 816
    y, x = torch.linspace(0, 6, h)[:, None], torch.linspace(0, 9, w)[None]
    smooth = torch.stack([(x + y).sin(), (x * y).cos(), (x - 2 * y).sin()]) * 0.3 + 0.5
    noisy = smooth + 0.1 * torch.randn(3, h, w, generator=torch.Generator().manual_seed(0))
    save_image(folder / "noisy.png", to_pixels(noisy[None].clamp(0, 1)))
    return {
        "restore, 0.5 megapixels": ["restore", str(folder / "noisy.png")],
        "train dcgan, 320 images": ["train", "dcgan", "--data", "glyphs", "--images", "320"],
    }


def seconds(job: list[str], way: str, folder: Path) -> float:
    """How long one command takes."""
    flags, changes = WAYS[way]
    settled = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", *SPINNING}
    environment = {name: value for name, value in os.environ.items() if name not in settled} | changes
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "sfumato", *job, *flags, "--out", f"{place}/out"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - began


@contextlib.contextmanager
def company(count: int) -> Iterator[None]:
    """So many processes that count while this is open."""
    counting = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # nobody is left counting if this one is killed
    others = [subprocess.Popen([sys.executable, "-c", counting]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main(rounds: int) -> None:
    print(instructions())
    with tempfile.TemporaryDirectory() as name:
        commands = jobs(Path(name))
        taken: dict[tuple[str, int, str], list[float]] = {}
        for _ in range(rounds):
            for others in (0, 2):
                with company(others):
                    for job, way in itertools.product(commands, WAYS):
                        taken.setdefault((job, others, way), []).append(seconds(commands[job], way, Path(name)))
                        print(f"{job}, {others} beside it, {way}: {taken[job, others, way][-1]:.1f} s", file=sys.stderr, flush=True)
    print(f"| what | beside it | threads | seconds, median of {rounds} | least to most | of `--threads 1` |\n|---|---|---|---|---|---|")
    held = True
    for (job, others, way), times in taken.items():
        alone, middle = statistics.median(taken[job, others, "--threads 1"]), statistics.median(times)
        held &= way != "default" or not others or middle <= BAR * alone
        spread = f"{min(times):.1f} to {max(times):.1f}"
        print(f"| {job} | {others or 'no'} processes | {way} | {middle:.1f} | {spread} | {middle / alone:.2f} |")
    print(f"beside two processes, all threads take {'no' if held else 'MORE'} more than {BAR} times as long as one")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
