"""Many files: the same bytes whoever works, nothing lost when processes are killed, the speed of two, and a manifest of 100,000.

    python -m benchmarks.workers same [--ray]     1, 2 and 4 processes, three shards, and Ray: identical results?
    python -m benchmarks.workers kills [100] [--copies]
                                                  so many kills (SIGKILL) of random processes: lost, doubled, half-written results
    python -m benchmarks.workers speed [400]      two processes against one, pictures of 512 x 512, on two idle cores; bar 1.7
    python -m benchmarks.workers many [100000]    memory of the manifest, and the time of a restart that finds everything done

Pictures are drawn, with noise; `restore` denoises them with the bundled network. `many`, and `kills` with `--copies`, copy files instead:
the engine is the same, and its processes start in a fraction of the time.
"""

import dataclasses
import functools
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item
from sfumato.batch.manifest import NAME, Entry, Manifest, Status
from sfumato.batch.sources import listed
from sfumato.batch.task import Convert, FileTask, Settle
from sfumato.batch.workers import Workers
from sfumato.core import atomic_io

# PyTorch and what needs it are imported in functions: a process that copies files imports this module and starts quickly.


def denoised(pictures: Path, out: Path, workers: Workers) -> list[Entry]:
    """Denoises all pictures of a folder."""
    from sfumato.restoration.pictures import restore_pictures
    from sfumato.restoration.request import RestorationRequest

    return restore_pictures([pictures], out, RestorationRequest(task="denoise"), workers=workers)


def drawn(folder: Path, count: int, side: int) -> Path:
    """A folder of noisy pictures, some of which have the same size."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = np.full((side + 8 * (number % 3), side, 3), 128.0)
        for y, x, tall, wide in rng.integers(1, side, (30, 4)):
            picture[y : y + tall // 3 + 2, x : x + wide // 3 + 2] = rng.integers(0, 256, 3)
        noisy = (picture + rng.normal(0, 25, picture.shape)).clip(0, 255).round().astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:05}.png")
    return folder


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.png"))}


def done_lines(out: Path) -> list[str]:
    """The places of the results that the manifests call done, one for each line."""
    every = [json.loads(line) for path in out.glob("manifest*.jsonl") for line in path.read_text().splitlines()]
    return [row["place"] for row in every if row["status"] == "done"]


def same(folder: Path, *, ray: bool) -> int:
    pictures = drawn(folder / "in", 48, 64)
    runs = {"1 process": [Workers(jobs=1)], "2 processes": [Workers(jobs=2)], "4 processes": [Workers(jobs=4)]}
    runs["3 shards"] = [Workers(shard=f"{i}/3") for i in (1, 2, 3)]
    if ray:
        runs["ray"] = [Workers(jobs=2, on="ray")]
    expected: dict[str, str] = {}
    for name, several in runs.items():
        for workers in several:
            denoised(pictures, folder / name, workers)
        results = hashes(folder / name)
        expected = expected or results
        print(f"{name}: {len(results)} results, {'identical' if results == expected else 'DIFFERENT'}")
    return 0


def children(pid: int) -> list[int]:
    """The processes that work for the process `pid`."""
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True, check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def kills(folder: Path, count: int, *, copies: bool) -> int:
    """Kills processes at random moments, until there were so many kills; runs as often as that takes."""
    pictures, out, rng = drawn(folder / "in", 200, 64), folder / "out", random.Random(0)
    work = copied if copies else denoised
    work(pictures, folder / "expected", Workers(jobs=1))
    killed, lost, doubled, partial, left, runs = 0, 0, 0, 0, 0, 0
    while killed < count:
        runs += 1
        ended, place = threading.Event(), out / str(runs)

        def killer(ended: threading.Event = ended, place: Path = place) -> None:
            nonlocal killed
            while killed < count and progress(place, ended) and not ended.wait(rng.uniform(0, 2)):
                if working := children(os.getpid()):
                    os.kill(rng.choice(working), signal.SIGKILL)
                    killed += 1

        thread = threading.Thread(target=killer)
        thread.start()
        entries = work(pictures, place, Workers(jobs=2))
        ended.set()
        thread.join()
        expected, results = hashes(folder / "expected"), hashes(place)
        lost += len(expected.keys() - results.keys()) + sum(entry.status is Status.FAILED for entry in entries)
        partial += sum(results[name] != expected[name] for name in results)
        left += len(list(place.glob(".*.sfumato-part")))
        lines = done_lines(place)
        doubled += len(lines) - len(set(lines)) + len(results.keys() - expected.keys())
    counts = f"{lost} lost, {doubled} doubled, {partial} partial, {left} unfinished files left"
    print(f"{killed} kills in {runs} runs of 200 {'files' if copies else 'pictures'}: {counts}")
    return int(bool(lost or doubled or partial or left))


def progress(place: Path, ended: threading.Event) -> bool:
    """Waits for the next result in a folder, so that no process is killed at its start again and again; whether there was one."""
    before = len(list(place.glob("*.png")))
    while not ended.wait(0.05):
        if len(list(place.glob("*.png"))) > before:
            return True
    return False


def speed(folder: Path, count: int) -> int:
    pictures, seconds = drawn(folder / "in", count, 512), {}
    for jobs in (1, 2):
        began = time.perf_counter()
        command = ["restore", str(pictures), "--task", "denoise", "--out", str(folder / str(jobs)), "--jobs", str(jobs)]
        subprocess.run([sys.executable, "-m", "sfumato", *command], check=True, stdout=subprocess.DEVNULL)
        seconds[jobs] = time.perf_counter() - began
        print(f"{jobs} processes: {seconds[jobs]:.1f} s, {count / seconds[jobs]:.2f} pictures a second")
    print(f"two against one: {seconds[1] / seconds[2]:.2f} times; identical: {hashes(folder / '1') == hashes(folder / '2')}")
    return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copying(FileTask):
    """Copies each file."""

    seconds: float = 0.0
    """Time that the work on a file takes at least."""

    def open(self) -> Convert:
        return functools.partial(copy, self.seconds)


def copy(seconds: float, item: Item, path: Path, settle: Settle) -> str:
    time.sleep(seconds)
    atomic_io.write(item.target, path.read_bytes(), check=functools.partial(settle, item.target))
    return "copied"


def copied(sources: Path, out: Path, workers: Workers, *, seconds: float = 0.1) -> list[Entry]:
    """Copies all pictures of a folder."""
    with held(out, FACTS, workers) as manifest:
        items = [Item(source=source, target=out / name) for source, name in listed([sources], exclude=out)]
        return run_batch(Copying(request=FACTS, seconds=seconds), items, manifest, workers=workers)


def lines(count: int, sources: Path, out: Path) -> Iterator[str]:
    """The manifest that a run of `Copying` has left, without the run, whose files wait for the disk one by one."""
    manifest = Manifest(out / "other.jsonl", FACTS)
    for number in range(count):
        source, target = sources / f"{number:06}.png", out / f"{number:06}.png"
        facts = manifest.facts(source, None)
        row = {"source": source.name, "from": manifest._identity(source), "out": target.name, "place": target.name, "words": "copied"}
        yield json.dumps({**row, "status": "done", "nothing": False, "seconds": 0.01, **facts, "made": facts["sha256"]}) + "\n"


FACTS = {"verb": "copy", "weights": dict.fromkeys(("restore", "deblur", "inpaint"), "0" * 64), "sfumato": "0.1.0"}


def many(folder: Path, count: int) -> int:
    sources, out = folder / "in", folder / "out"
    sources.mkdir()
    out.mkdir()
    seed = drawn(folder / "seed", 1, 16) / "00000.png"
    content = seed.read_bytes()
    for number in range(count):
        for place in (sources, out):
            (place / f"{number:06}.png").write_bytes(content)
    with (out / NAME).open("w") as file:
        file.writelines(lines(count, sources, out))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    manifest = Manifest(out / NAME, FACTS)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"manifest of {count:,} pictures: {memory:.0f} MB, read in {time.process_time() - began:.1f} s of the processor (bar: 200 MB)")
    del manifest
    began, clock = time.process_time(), time.perf_counter()
    entries = copied(sources, out, Workers(), seconds=0)
    assert all(entry.status is Status.SKIPPED for entry in entries)
    spent = time.process_time() - began, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"restart: all done before, {spent[0]:.1f} s of the processor, {spent[1]:.1f} s by the clock (bar: 30 s), peak {peak:.0f} MB")
    return 0


def main() -> int:
    what, *rest = [word for word in sys.argv[1:] if not word.startswith("--")] or ["same"]
    number = int(rest[0]) if rest else {"kills": 100, "speed": 400, "many": 100_000}.get(what, 0)
    with tempfile.TemporaryDirectory() as place:
        if what == "same":
            return same(Path(place), ray="--ray" in sys.argv)
        if what == "kills":
            return kills(Path(place), number, copies="--copies" in sys.argv)
        return {"speed": speed, "many": many}[what](Path(place), number)


if __name__ == "__main__":
    from sfumato.core.device import instructions

    print(instructions())
    sys.exit(main())
