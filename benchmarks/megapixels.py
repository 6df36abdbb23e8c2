"""How much memory does a picture of 100 megapixels take?

A PNG of 10,000 x 10,000 colour pixels is drawn, repaired by `sfumato restore` in a process of its own, and that process's peak printed.

    python -m benchmarks.megapixels [model] [side]
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyvips


def main(model: str, side: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.png", Path(folder) / "clean.png"
        rows = np.random.default_rng(0).integers(0, 256, (64, side, 3), dtype=np.uint8)
        tile = pyvips.Image.new_from_array(rows).replicate(1, side // 64 + 1).crop(0, 0, side, side)
        tile.gaussblur(3).pngsave(str(source), compression=1)
        began = time.perf_counter()
        command = [sys.executable, "-m", "sfumato", "restore", str(source), "--out", str(target), "--task", "denoise", "--model", model]
        done = subprocess.run([*command, "--precision", "auto", "--memory", "2GB"], capture_output=True, text=True, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(done.stdout + done.stderr, end="")
        print(f"{side**2 / 1e6:.0f} megapixels: peak {peak * 1024 / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(words[0] if words else "restore", int(words[1]) if len(words) > 1 else 10_000)
