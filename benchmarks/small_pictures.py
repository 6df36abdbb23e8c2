"""How much of the time of `restore` on a folder of small pictures is the network's own?

A hundred pictures of 128 x 128 pixels are drawn, with noise of 25/255, and repaired into another folder in this process, one thread: the
whole of `restore_pictures`, from finding the files to the last line of the manifest. Beside it, in the same run, the bundled network
alone on the same pixels, all at once in batches and one picture at a time. Seconds of the processor a picture; the bar is twice the
network's own time.

    python -m benchmarks.small_pictures [pictures] [side]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sfumato.core.device import instructions, keep_memory
from sfumato.core.tensors import Images
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import weights

_ROUNDS = 3
"""The least of so many is printed."""
_BATCH = 16


def drawn(count: int, side: int, *, grey: bool) -> list[np.ndarray]:
    """Boxes over each other, in noise of 25/255, uint8."""
    pictures = []
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = np.full((side, side, 3), 128.0)
        for y, x, tall, wide in rng.integers(1, side, (30, 4)):
            picture[y : y + tall // 3 + 2, x : x + wide // 3 + 2] = rng.integers(0, 256, 3)
        picture = picture[..., :1].repeat(3, 2) if grey else picture
        noise = rng.normal(0, 25, (side, side, 1 if grey else 3))
        pictures.append((picture + noise).clip(0, 255).round().astype(np.uint8)[..., 0 if grey else slice(None)])
    return pictures


def spent(work: Callable[[], object]) -> float:
    """Seconds of the processor, the least of some rounds."""
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def alone(which: str, images: Images, batch: int) -> float:
    """Seconds of the processor a picture that the network itself takes."""
    network = weights.load(which)
    apply_restorer(network, images[:batch])  # whatever is done once

    def work() -> None:
        for part in images.split(batch):
            apply_restorer(network, part)

    return spent(work) / len(images)


def whole(folder: Path, request: RestorationRequest, which: str) -> float:
    """Seconds of the processor a picture that the command takes, in this process, if it repairs all of them with the network `which`."""
    count = len(list(folder.iterdir()))

    def work() -> None:
        with tempfile.TemporaryDirectory() as out:
            entries = restore_pictures([folder], Path(out) / "out", request)
        assert all(entry.status == "done" and entry.message.endswith(which) for entry in entries), entries

    return spent(work) / count


def main(count: int, side: int) -> None:
    print(instructions())
    torch.set_num_threads(1)
    keep_memory()
    print(f"{count} pictures of {side} x {side}, one thread; seconds of the processor a picture")
    print(f"{'':24}{'restore':>10}{'network':>10}{'by one':>10}{'ratio':>8}")
    for name, grey, request, which in (
        ("denoise, grey", True, RestorationRequest(task="denoise"), "restore"),
        ("denoise, colour", False, RestorationRequest(task="denoise"), "denoise"),
        ("auto, grey", True, RestorationRequest(), "restore"),
        ("auto, colour", False, RestorationRequest(), "denoise"),
        ("upscale, grey", True, RestorationRequest(task="upscale"), "upscale-x2"),
        ("upscale, colour", False, RestorationRequest(task="upscale"), "upscale-x2"),
    ):
        pictures = drawn(count, side, grey=grey)
        with tempfile.TemporaryDirectory() as folder:
            for number, picture in enumerate(pictures):
                Image.fromarray(picture).save(Path(folder) / f"{number:03d}.png")
            command = whole(Path(folder), request, which)
        images = torch.from_numpy(np.stack(pictures)).reshape(count, side, side, -1).permute(0, 3, 1, 2).float() / 255
        together, single = alone(which, images, _BATCH), alone(which, images, 1)
        print(f"{name:24}{command:10.4f}{together:10.4f}{single:10.4f}{command / min(together, single):8.2f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *(100, 128)[len(sys.argv[1:3]) :])
