"""Files of every kind that is read, spoilt at random: each must be read, or refused in one line.

A reading counts as failed if it takes more than 20 seconds of the processor, or 2 GB beyond what the process has, if it raises an exception
that is not the toolkit's own, or an error of several lines. The spoilt files that failed are kept in the folder that --keep names.

    python -m benchmarks.attack [--count 2000] [--kinds edits settings ...] [--seed 0] [--keep FOLDER]
"""

import argparse
import collections
import contextlib
import resource
import signal
import time
from pathlib import Path

from sfumato.core.device import instructions, set_threads
from tests.attacks import attack, described, kinds

SECONDS, BYTES = 20, 2 << 30


class TooSlowError(Exception):
    """A reading took too long."""


class Guard:
    """Ends a reading that takes too long or too much, and remembers how long the slowest took."""

    def __init__(self) -> None:
        self.slowest = 0.0
        signal.signal(signal.SIGPROF, self._late)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, resource.RLIM_INFINITY))

    def __call__(self, read, path):
        # Of the processor's time: other processes must not make a reading slow.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        began = time.process_time()
        try:
            return read(path)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.slowest = max(self.slowest, time.process_time() - began)

    def _late(self, *_) -> None:
        raise TooSlowError(f"more than {SECONDS} s")


def peak() -> float:
    """Most memory that was in use since `forget`, in MB; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return 0.0


def forget() -> float:
    """Begins to look for the peak anew, and says where it is now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    set_threads(1)
    everything = kinds()
    print(instructions())
    print(f"{'kind':20} {'tried':>6} {'refused':>8} {'read':>6} {'failed':>7} {'slowest':>9} {'memory':>9}")
    failed = 0
    for name in asked.kinds or everything:
        guard, before = Guard(), forget()
        tally = attack(everything[name], asked.count, seed=asked.seed, guard=guard)
        row = f"{name:20} {asked.count:6} {tally.refused:8} {tally.read:6} {len(tally.failed):7}"
        print(f"{row} {guard.slowest:7.2f} s {peak() - before:6.0f} MB", flush=True)
        for what, count in collections.Counter(described(error) for _, error in tally.failed).most_common(8):
            print(f"    {count:5} x {what}", flush=True)
        if asked.keep and tally.failed:
            asked.keep.mkdir(parents=True, exist_ok=True)
            for i, (data, _) in enumerate(tally.failed[:20]):
                (asked.keep / f"{name.replace(' ', '-').replace(':', '')}-{i}").write_bytes(data)
        failed += len(tally.failed)
    print(f"{failed} failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
