"""The service under many requests at once, of which some are hostile: what ends, how memory grows, what is refused.

    python -m benchmarks.service [10000] [--at-once 32] [--hostile 0.05] [--jobs 1] [--backend torch]

`sfumato serve` runs in a process of its own. Requests restore small drawn pictures, with the network and with a method, generate digits and
embed. Hostile ones are pictures that are cut off, bombs (declared pixels, compressed text, a long body), files of other kinds, and wrong
options. Bars: 0 crashes, memory at the end within 10 % of that after the first tenth, all hostile requests refused with 4xx.
"""

import argparse
import http.client
import io
import random
import struct
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sfumato.io.png import PNG, chunk

MEMORY = ("process_resident_memory_bytes", "sfumato_processes_resident_memory_bytes")
RESTARTS = ('sfumato_process_restarts_total{reason="ended"}', 'sfumato_process_restarts_total{reason="timeout"}')
WARM = 0.1
"""Share of the requests before memory is looked at for the first time: networks are loaded with the first pictures that need them."""


@dataclass(frozen=True)
class Order:
    """One request."""

    path: str
    body: bytes | None = None
    hostile: str = ""
    """Kind of a hostile request; empty for others."""


@dataclass
class Tally:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    hostile: Counter[tuple[str, int]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def picture(rng: random.Random, kind: str) -> bytes:
    side, content = rng.choice((48, 64, 96)), io.BytesIO()
    values = np.random.default_rng(rng.randrange(1 << 30))
    drawn = np.full((side, side + 16, 3), 128.0)
    for y, x, tall, wide in values.integers(1, side, (12, 4)):
        drawn[y : y + tall, x : x + wide] = values.integers(0, 256, 3)
    Image.fromarray((drawn + values.normal(0, 20, drawn.shape)).clip(0, 255).astype(np.uint8)).save(content, kind)
    return content.getvalue()


def png(width: int, height: int, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"".join((PNG, header, *extra, chunk(b"IDAT", zlib.compress(bytes(100_000))), chunk(b"IEND", b"")))


def hostile(rng: random.Random) -> Order:
    kind = rng.choice(("cut off", "declared pixels", "compressed text", "long body", "other file", "option", "address"))
    verb = rng.choice(("restore", "embed"))
    if kind == "cut off":
        whole = picture(rng, rng.choice(("PNG", "JPEG", "WEBP")))
        return Order(f"/{verb}", whole[: rng.randrange(1, len(whole) // 2)], kind)
    if kind == "declared pixels":
        return Order(f"/{verb}", png(rng.choice((20_000, 60_000, 2_000_000_000)), 60_000), kind)
    if kind == "compressed text":
        return Order(f"/{verb}", png(64, 64, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1))), kind)
    if kind == "long body":
        return Order(f"/{verb}", picture(rng, "PNG") + bytes(40_000_000), kind)
    if kind == "other file":
        bodies = (b"", b"hello", b'{"picture": 1}', b"%PDF-1.7" + bytes(5000), b"\x1a\x45\xdf\xa3" + bytes(5000), b"PK\3\4" + bytes(5000))
        return Order(f"/{verb}", rng.choice(bodies), kind)
    if kind == "option":
        query = rng.choice(("task=paint", "model=/etc/passwd", "scale=nan", "task=upscale&scale=99", "noise=-1", "find=x&find=y"))
        return Order(f"/restore?{query}", picture(rng, "PNG"), kind)
    return Order(rng.choice(("/../etc/passwd", "/compress", "/admin", "/restore/x")), picture(rng, "PNG"), kind)


def orders(count: int, share: float) -> Iterator[Order]:
    for number in range(count):
        rng = random.Random(number)
        if rng.random() < share:
            yield hostile(rng)
            continue
        kind = rng.choice(("PNG", "JPEG", "WEBP"))
        yield rng.choice(
            (
                Order("/restore?task=denoise", picture(rng, kind)),
                Order("/restore?method=median&format=jpeg", picture(rng, kind)),
                Order("/restore", picture(rng, kind)),
                Order("/embed", picture(rng, kind)),
                Order(f"/generate?n={rng.randrange(1, 9)}&seed={number}"),
            )
        )


def ask(address: str, path: str, body: bytes | None = None, method: str = "POST") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=600)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def client(address: str, queue: Iterator[Order], tally: Tally) -> None:
    while True:
        with tally.lock:
            order = next(queue, None)
        if order is None:
            return
        try:
            status, _ = ask(address, order.path, order.body)
        except OSError as error:
            status = 0
            with tally.lock:
                tally.broken.append(f"{order.hostile or order.path}: {error!r}")
        with tally.lock:
            tally.statuses[status] += 1
            if order.hostile:
                tally.hostile[order.hostile, status] += 1


def metrics(address: str) -> dict[str, float]:
    lines = [line for line in ask(address, "/metrics", method="GET")[1].decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def sent(address: str, queue: Iterator[Order], at_once: int, tally: Tally) -> None:
    threads = [threading.Thread(target=client, args=(address, queue, tally)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--backend", default="torch")
    options = parser.parse_args()
    command = [sys.executable, "-m", "sfumato", "serve", "--port", "0", "--jobs", str(options.jobs), "--timeout", "300"]
    command += [] if options.backend == "torch" else ["--backend", options.backend]
    service = subprocess.Popen([*command, "--queue", str(options.at_once)], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    address, tally = service.stdout.readline().split()[-1].removeprefix("http://"), Tally()
    first = round(WARM * options.count)
    every = orders(options.count, options.hostile)
    sent(address, (next(every) for _ in range(first)), options.at_once, tally)
    before = metrics(address)
    sent(address, every, options.at_once, tally)
    after = metrics(address)
    alive = service.poll() is None
    service.terminate()
    code = service.wait()
    report(tally, before, after, first)
    restarts = sum(after[name] for name in RESTARTS)
    print(f"crashes: {restarts:.0f} processes, {int(not alive)} servers, {len(tally.broken)} connections; end of the server: code {code}")


def report(tally: Tally, before: dict[str, float], after: dict[str, float], first: int) -> None:
    total = sum(tally.statuses.values())
    print(f"{total:,} requests: " + ", ".join(f"{count:,} x {status}" for status, count in sorted(tally.statuses.items())))
    refused = sum(count for (_, status), count in tally.hostile.items() if 400 <= status < 500)
    print(f"hostile: {refused} of {sum(tally.hostile.values())} refused with 4xx")
    for (kind, status), count in sorted(tally.hostile.items()):
        print(f"  {kind:16} {status}  {count}")
    for name, noun in zip(MEMORY, ("server", "processes that compute"), strict=True):
        early, late = before[name] / 1e6, after[name] / 1e6
        print(f"memory of the {noun}: {early:.0f} MB after {first:,} requests, {late:.0f} MB at the end ({late / early - 1:+.1%})")
    for line in tally.broken[:5]:
        print(f"  {line}")


if __name__ == "__main__":
    main()
