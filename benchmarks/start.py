"""How long from typing a training command to its first step, on MNIST?

The whole command is timed, with one step in it: start of Python and torch, reading and checking the files, building the network,
one step, and also the sheet of samples and the files written at the end. Needs SFUMATO_DATA or the cached files.

    python -m benchmarks.start
"""

import subprocess
import sys
import tempfile
import time


def main() -> None:
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
