"""Does training in two processes end as cleanly as it began, every time?

`torchrun` is started twenty times with two processes on the CPU (gloo). A start counts if its exit code is zero and both
processes have written down, after the training, that they hold the same weights.

    python -m benchmarks.torchrun
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sfumato.core.config import override
from sfumato.data.glyphs import glyphs
from sfumato.recipes import recipe
from sfumato.train.loop import fit

STARTS, PROCESSES = 20, 2
SHORT = ("images=640", "batch=16", "log_every=160", "save_every=320", "model.width=8", "model.discriminator_width=8", "precision=fp32")


def work(folder: Path) -> None:
    """What each process does: trains, then leaves a word."""
    model = fit(override(recipe("dcgan"), *SHORT), run=folder / "run", data=glyphs(500, (16, 16)), device="cpu")
    weights = b"".join(w.contiguous().numpy().tobytes() for w in model.network.state_dict().values())
    (folder / os.environ["RANK"]).write_text(hashlib.sha256(weights).hexdigest())


def clean(folder: Path) -> bool:
    """Starts once, and says whether all went well; prints what the processes said if not."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}", "-m", "benchmarks.torchrun"]
    ended = subprocess.run([*command, str(folder)], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    words = {path.read_text() for i in range(PROCESSES) if (path := folder / str(i)).exists()}
    left = sum((folder / str(i)).exists() for i in range(PROCESSES))
    good = ended.returncode == 0 and left == PROCESSES and len(words) == 1
    if not good:
        print(f"exit code {ended.returncode}, {left} of {PROCESSES} processes finished, {len(words)} sets of weights")
        print(ended.stderr[-2000:])
    return good


def main() -> int:
    count = 0
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder:
            count += clean(Path(folder))
    print(f"torchrun, {PROCESSES} processes: {count} of {STARTS} starts ended cleanly")
    return 0 if count == STARTS else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(Path(sys.argv[1]))
    else:
        sys.exit(main())
