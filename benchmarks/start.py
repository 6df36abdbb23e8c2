"""How long does a command take before it does what it is for?

First the start of Python's side, in seconds of processor time, which depends on nothing else that runs: `import sfumato`, the help, and an
answer to a press of Tab. Then how long it is from typing a training command to its first step, on MNIST: the whole command is timed, with
one step in it: start of Python and torch, reading and checking the files, building the network, one step, and also the sheet of samples
and the files written at the end. That needs SFUMATO_DATA or the cached files.

    python -m benchmarks.start
"""

import resource
import subprocess
import sys
import tempfile
import time

from sfumato.core.device import instructions

STARTS = {
    "import sfumato": (["-c", "import sfumato"], 0.15),
    "sfumato --help": (["-m", "sfumato", "--help"], 0.5),
    "sfumato generate --help": (["-m", "sfumato", "generate", "--help"], 0.5),
    "sfumato complete train dcgan --m": (["-m", "sfumato", "complete", "train", "dcgan", "--m"], 0.25),
}
"""Each start, and the seconds of processor time that it may take."""


def processor_time(arguments: list[str], *, tries: int = 9) -> float:
    """The processor time of a run of Python, in seconds: the least of several."""
    times = []
    for _ in range(tries):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def main() -> None:
    print(instructions())
    for name, (arguments, bar) in STARTS.items():
        print(f"{name}: {processor_time(arguments):.3f} s of processor time (bar: {bar:g} s)", flush=True)
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            command = [sys.executable, "-m", "sfumato", "train", "digits", "--images", "64", "--out", f"{folder}/run"]
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
    print(
        f"sfumato train digits, one step and all that is around it: {min(times):.1f} s, {sorted(times)[1]:.1f} s in the median (bar: 5 s)"
    )


if __name__ == "__main__":
    main()
