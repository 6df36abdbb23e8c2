"""Does a killed run end with the weights it would have had?

A GAN (lazy penalty, augmented discriminator, averaged weights) and a classifier (dropout, batch normalisation, augmentation,
held-out images) are each trained once from start to end, and ten times more with `kill -9` at a random moment and the same call
again. All ten must end bit for bit with the weights of the first, with each line of the log there once.

    python -m benchmarks.resume
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from sfumato.core.config import override
from sfumato.data.glyphs import glyphs
from sfumato.recipes import recipe
from sfumato.store import checkpoint
from sfumato.train.loop import fit

TRIALS = 10
SHORT = ("images=6000", "batch=32", "log_every=480", "save_every=320", "sample_every=1600", "precision=fp32")
SMALL = {
    "dcgan": ("model.width=12", "model.discriminator_width=12", "lr_warmup=640", "ema=500", "objective.penalty_every=4"),
    "classifier": ("model.widths=[8,16]", "model.hidden=[32]", "lr_warmup=640", "ema=500", "validation=0.1"),
}


def train(name: str, run: Path) -> None:
    """What is started, killed and started again."""
    torch.set_num_threads(1)
    fit(override(recipe(name), *SHORT, *SMALL[name]), run=run, data=glyphs(1000, (16, 16)), device="cpu")


def start(name: str, run: Path) -> multiprocessing.Process:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sfumato.train.loop", "sfumato.data.glyphs", "torch.utils.tensorboard", "torch._dynamo"])
    process = context.Process(target=train, args=(name, run))
    process.start()
    return process


def saved(run: Path) -> int:
    """Images after which the state on disk was saved."""
    path = run / "state" / "state.safetensors"
    return checkpoint.read_tensors(path)[1]["seen"] if path.exists() else 0


def result(run: Path) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Weights of a finished run, and the numbers of images in its log."""
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return checkpoint.read_tensors(run / "model.safetensors")[0], [row["images"] for row in rows if "note" not in row]


def same(one: Path, other: Path) -> bool:
    (mine, rows), (theirs, others) = result(one), result(other)
    return rows == others and mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def trial(name: str, run: Path, straight: Path, moment: float) -> int | None:
    """Kills a run at `moment`, lets it end, and says from where it went on; None if it ended otherwise than the straight one."""
    process = start(name, run)
    process.join(moment)
    if process.exitcode is not None:
        raise RuntimeError(f"the run was over after {moment:.1f} s, before it could be killed; leave the machine alone and try again")
    process.kill()
    process.join()
    reached = saved(run)
    process = start(name, run)
    process.join()
    return reached if process.exitcode == 0 and same(run, straight) and not list(run.rglob("*.part")) else None


def main() -> int:
    dice, exact = random.Random(0), True
    with tempfile.TemporaryDirectory() as folder:
        for name in SMALL:
            straight = Path(folder) / name
            start(name, Path(folder) / f"{name}-warm").join()
            began = time.monotonic()
            start(name, straight).join()
            duration = time.monotonic() - began
            moments = [duration * dice.uniform(0.02, 0.8) for _ in range(TRIALS)]
            found = [trial(name, Path(folder) / f"{name}-{i}", straight, moment) for i, moment in enumerate(moments)]
            good = [reached for reached in found if reached is not None]
            exact &= len(good) == TRIALS
            print(f"{name}: {len(good)} of {TRIALS} killed runs end with the very weights; they went on from image {sorted(good)}")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
