"""How much memory does a picture of 100 megapixels take?

A PNG of 10,000 x 10,000 colour pixels is drawn, repaired by `sfumato restore` in a process of its own, and that process's peak printed.

    python -m benchmarks.megapixels [model] [side]

With `reading` it is one with opacity, and a JPEG, and it is only read, in each of the ways that there are; what a small picture takes is
taken off.

    python -m benchmarks.megapixels reading [side]
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyvips

from sfumato.core.device import instructions

WAYS = {
    "whole, for repair": "from sfumato.io import files; files.read(path, lossless=True)",
    "whole, for training": "from sfumato.io import decode; decode.decode(path, path.name, channels=3)",
    "reduced, for training": "from sfumato.io import decode; decode.decode(path, path.name, channels=3, size=(64, 64))",
    "strip by strip": "from sfumato.io import streaming\nwith streaming.open_rows(path) as source: source.rows(0, 16)",
}


def main(model: str, side: int) -> None:
    print(instructions())
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.png", Path(folder) / "clean.png"
        draw(source, side, 3)
        began = time.perf_counter()
        command = [sys.executable, "-m", "sfumato", "restore", str(source), "--out", str(target), "--task", "denoise", "--model", model]
        done = subprocess.run([*command, "--precision", "auto", "--memory", "2GB"], capture_output=True, text=True, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(done.stdout + done.stderr, end="")
        print(f"{side**2 / 1e6:.0f} megapixels: peak {peak * 1024 / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s")


def reading(side: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending, channels in ((".png", 4), (".jpg", 3)):
            small, large = Path(folder) / f"small{ending}", Path(folder) / f"large{ending}"
            draw(small, 64, channels)
            draw(large, side, channels)
            decoded = side * side * channels
            for name, way in WAYS.items():
                taken = peak_of(way, large) - peak_of(way, small)
                print(f"{ending} {name}: {taken / 1e6:.0f} MB, {taken / decoded:.2f} times the decoded picture of {decoded / 1e6:.0f} MB")


def draw(path: Path, side: int, channels: int) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (64, side, channels), dtype=np.uint8)
    tile = pyvips.Image.new_from_array(rows).copy(interpretation="srgb").replicate(1, side // 64 + 1).crop(0, 0, side, side)
    image = tile if channels == 4 else tile.gaussblur(3)
    if path.suffix == ".jpg":
        image.jpegsave(str(path), Q=90)
    else:
        image.pngsave(str(path), compression=1)


def peak_of(way: str, path: Path) -> int:
    """Bytes that a process of its own holds at its height, in which the picture is read so."""
    program = (
        f"import resource, pathlib\npath = pathlib.Path({str(path)!r})\n{way}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout) * 1024


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["reading"]:
        reading(int(words[1]) if len(words) > 1 else 10_000)
    else:
        main(words[0] if words else "restore", int(words[1]) if len(words) > 1 else 10_000)
