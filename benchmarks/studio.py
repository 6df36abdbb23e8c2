"""The studio under measurement: start, cancelling, memory over many jobs, hostile uploads.

Start is the time from the command to the first page, in seconds by the clock and of the processor. Cancelling is the time from the request
until the worker of a 12-megapixel restoration is gone. Memory is that of the server's side and of its worker after the first job and each
tenth. The hostile files are the spoilt pictures of `benchmarks.attack`: each is judged and restored as an upload is. It needs gradio.

    python -m benchmarks.studio [--jobs 200] [--files 300] [--parts start cancel memory hostile]
"""

import argparse
import collections
import contextlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from sfumato.core.device import instructions
from sfumato.web.jobs import Job, State, Workshop
from tests.attacks import kinds

OPTIONS = {"task": "auto", "strength": 1.0, "find": [], "layers": [], "grow_mask": 0, "invert_mask": False}


def start(folder: Path) -> None:
    """From the command to the first page, three times."""
    command = [sys.executable, "-m", "sfumato", "studio", "--port", "0", "--no-open", "--runs", str(folder / "runs")]
    for number in range(3):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        address = re.search(r"http://\S+", process.stdout.readline().decode())[0]
        with urllib.request.urlopen(address) as answer:  # on loopback
            size = len(answer.read())
        wall, own = time.perf_counter() - began, processor_time(process.pid)
        process.terminate()
        process.wait()
        process.stdout.close()
        print(f"start {number + 1}: first page ({size / 1e3:.0f} kB) after {wall:.1f} s, {own:.1f} s of the processor")


def processor_time(process: int) -> float:
    """Seconds of the processor that a running process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int | str) -> float:
    """Memory of a process in MB."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
    return 0.0


def job(task: str, arguments: dict, folder: Path) -> Job:
    return Job(task, arguments, Path(tempfile.mkdtemp(dir=folder)), "visitor", "session", "restore")


def ended(work: Job) -> Job:
    while not work.ended:
        time.sleep(0.002)
    return work


def noisy(path: Path, size: tuple[int, int]) -> Path:
    """A photograph-like picture with noise."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    grey = 128 + 80 * np.sin(x / 40) * np.cos(y / 50) + np.random.default_rng(0).normal(0, 25, x.shape)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB").save(path, compress_level=1)
    return path


def cancel(folder: Path) -> None:
    """A restoration of 12 megapixels is cancelled at its first, tenth and thirtieth report of progress."""
    picture = noisy(folder / "large.png", (4000, 3000))
    for reports in (1, 10, 30):
        workshop = Workshop()
        work = workshop.submit(job("restore", {"pictures": [str(picture)], **OPTIONS}, folder))
        texts = []
        while len(texts) < reports and not work.ended:
            if work.text and (not texts or texts[-1] != work.text):
                texts.append(work.text)
            time.sleep(0.01)
        processes, began = workshop.processes, time.perf_counter()
        workshop.cancel(work)
        while any(resident(process) for process in processes):
            time.sleep(0.002)
        print(f"cancelled at report {reports} ({texts[-1]}): {time.perf_counter() - began:.2f} s until the worker was gone")
        workshop.close()


def memory(folder: Path, jobs: int) -> None:
    """Resident memory after the first job and after each tenth of the jobs."""
    picture, workshop = noisy(folder / "small.png", (320, 240)), Workshop()
    for number in range(1, jobs + 1):
        work = ended(workshop.submit(job("restore", {"pictures": [str(picture)], **OPTIONS}, folder)))
        assert work.state is State.DONE, work.error
        if number == 1 or number % max(1, jobs // 10) == 0:
            (worker,) = workshop.processes
            print(f"after {number} restorations: worker {resident(worker):.0f} MB, this process {resident('self'):.0f} MB")
    workshop.close()


def hostile(folder: Path, files: int) -> None:
    """Spoilt pictures of every kind as uploads: none may be answered by anything but a result or one line."""
    rng, tally, workshop = random.Random(0), collections.Counter(), Workshop()
    spoilt = [kind for name, kind in kinds().items() if name.startswith("pictures: ")]
    slowest, first = 0.0, None
    for number in range(files):
        kind = spoilt[number % len(spoilt)]
        path = folder / f"{number}-{kind.name}"
        path.write_bytes(kind.spoil(rng.choice(kind.whole), rng))
        for task, arguments in (("diagnose", {"picture": str(path)}), ("restore", {"pictures": [str(path)], **OPTIONS})):
            began = time.perf_counter()
            work = ended(workshop.submit(job(task, arguments, folder)))
            slowest = max(slowest, time.perf_counter() - began)
            first = first or workshop.processes
            bad = work.state is State.FAILED and ("internal error" in work.error or "process of the job ended" in work.error)
            lines = work.state is State.FAILED and "\n" in work.error
            tally["done" if work.state is State.DONE else "faults" if bad or lines else "refused"] += 1
            if bad or lines:
                print(f"  {kind.name}: {work.error}")
    same = first == workshop.processes
    print(f"{files} spoilt pictures, judged and restored: {dict(tally)}; slowest {slowest:.1f} s; one worker for all: {same}")
    workshop.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--parts", nargs="*", default=["start", "cancel", "memory", "hostile"])
    asked = parser.parse_args()
    print(instructions())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts = {"start": start, "cancel": cancel}
        for name in asked.parts:
            if name in parts:
                parts[name](folder)
        if "memory" in asked.parts:
            memory(folder, asked.jobs)
        if "hostile" in asked.parts:
            hostile(folder, asked.files)


if __name__ == "__main__":
    main()
