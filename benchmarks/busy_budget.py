"""Does a budget of time hold on a machine that becomes busy?

`sfumato train` is given a small recipe and a budget. Half way, processes start that spin, two for each core. Printed are the budget,
the time that the command took from its start to its end, by how much it overshot, how long before its end the last line of the log was
written, the plan and what became of it. A second run of the same settings knows the speed of the first, and a third is busy from its start.

    python -m benchmarks.busy_budget --budget 2min
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sfumato.core.device import available_cores, instructions
from sfumato.train.settings import seconds

MOST = 0.05
"""The overshoot that is allowed, as a share of the budget."""
SMALL = ("--model.width", "12", "--model.discriminator-width", "12", "--threads", "1", "--device", "cpu", "--log-every", "2000")


def train(budget: str, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sfumato", "train", "glyphs", "--budget", budget, "--out", str(out), *SMALL]
    return subprocess.Popen(command, env={**os.environ, "SFUMATO_CACHE": str(out.parent / "cache")})


def spin(count: int) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]


def measured(budget: str, out: Path, *, busy: int, since: float = 0.5) -> float:
    """Seconds that a run took, with `busy` processes that spin after the share `since` of the budget."""
    began, spinning = time.monotonic(), []
    process = train(budget, out)
    try:
        while process.poll() is None:
            if not spinning and time.monotonic() - began >= since * seconds(budget):
                spinning = spin(busy)
            time.sleep(0.1)
    finally:
        for each in (process, *spinning):
            each.kill()
            each.wait()
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}")
    return time.monotonic() - began


def report(budget: str, out: Path, took: float) -> float:
    """Prints how a run kept its budget; returns by which share of it the run was late."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    record = out / "state" / "plan.json"
    first = json.loads((record if record.exists() else out / "settings.json").read_text())["images"]
    over = took / seconds(budget) - 1
    seen = max(row["images"] for row in rows)
    print(f"budget {budget}: took {took:.1f} s ({over:+.1%}); planned {first:,} images, trained on {seen:,}")
    if timed := [row["seconds"] for row in rows if "seconds" in row]:
        print(f"  last line of the log after {timed[-1]:.1f} s, {took - timed[-1]:.1f} s before the end of the command")
    for row in rows:
        if "note" in row:
            print(f"  after {row['images']:,} images: {row['note']}")
    return over


def main() -> int:
    print(instructions())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="1min")
    parser.add_argument("--busy", type=int, default=2 * available_cores(), help="processes that spin")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        late = []
        for name, busy, since in (("busy half way", asked.busy, 0.5), ("again", 0, 0.5), ("busy from the start", asked.busy, 0.0)):
            print(f"{name}: {busy} processes spin", flush=True)
            out = Path(folder) / name
            late.append(report(asked.budget, out, measured(asked.budget, out, busy=busy, since=since)))
    return 0 if max(late) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
