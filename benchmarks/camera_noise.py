"""How much nearer to the truth does `restore` bring photographs with the noise of a camera, beside filters that everybody has?

PolyU (Xu et al. 2018, https://arxiv.org/abs/1804.02603): 100 crops of photographs at ISO 800 to 12,800, and the mean of hundreds of shots
of each scene as truth. Nothing here was trained on them. OpenCV's filters run at each setting of a grid, and the best setting for all crops
is printed; "best of all" is the mean with the best setting for each crop, which nobody can know without the truth.

Four night shots: photographs darkened to a quarter of their light, through `degradations.camera` at ISO 6400 with demosaicing and JPEG 85.

    python -m benchmarks.camera_noise [polyu|night] [every n-th crop] [task]
"""

import re
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

import sfumato as sf
from sfumato.core.device import instructions, keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, to_bytes, to_images
from sfumato.data.public_sets import provided
from sfumato.data.scenes import load_scenes
from sfumato.degradations import camera
from sfumato.degradations.base import degrade
from sfumato.io.channels import as_images
from sfumato.io.files import read
from sfumato.metrics.fidelity import psnr

NLM = (2, 3, 4, 5, 6, 8, 10, 15)
"""Strengths of OpenCV's non-local means, in levels of 255."""
BILATERAL = [(colour, space) for colour in (10, 15, 20, 30, 45, 60) for space in (1.5, 2.5)]
"""Standard deviations of OpenCV's bilateral filter, in levels of 255 and in pixels."""
NIGHT = camera.Config(
    iso=(6400, 6400), full_well=(20_000, 20_000), scaled=0, compressed=1, again=0, quality=(85, 85), contrast=(1, 1), detail="lost"
)


def filters(noisy: Images) -> dict[str, Images]:
    """`noisy` as each setting of OpenCV's filters makes it."""
    pixels = np.ascontiguousarray(to_bytes(noisy)[0].permute(1, 2, 0).numpy())
    results = {f"non-local means {h}": cv2.fastNlMeansDenoisingColored(pixels, None, h, h, 7, 21) for h in NLM}
    results |= {f"bilateral {colour}, {space:g}": cv2.bilateralFilter(pixels, -1, colour, space) for colour, space in BILATERAL}
    return {name: to_images(torch.from_numpy(result).permute(2, 0, 1)[None]) for name, result in results.items()}


def polyu(every: int) -> Iterator[tuple[str, Images, Images]]:
    """Name, noisy and true crop."""
    for path in sorted(Path(provided("polyu", "polyu")).glob("*_real.JPG"))[::every]:
        yield path.name, *(as_images(read(p).pixels) for p in (path, path.with_name(path.name.replace("_real", "_mean"))))


def night(_: int) -> Iterator[tuple[str, Images, Images]]:
    """The same of photographs that nobody trains on, darkened and taken at night."""
    pictures = load_scenes("bsds500", channels=3, part="test", largest=None).pictures[:40:10]
    for i, picture in enumerate(pictures):
        clean = to_images(picture[None])
        dark = (clean**2.2 / 4) ** (1 / 2.2)
        yield f"night {i}", to_images(to_bytes(degrade(NIGHT, dark, rng=seeded_generator(i)).images)), to_images(to_bytes(dark))


def main(crops: Callable[[int], Iterator[tuple[str, Images, Images]]], every: int, task: str) -> None:
    keep_memory()
    gains: dict[str, list[float]] = {}
    rows: list[tuple[str, float, float, int]] = []
    for name, noisy, clean in crops(every):
        start = psnr(noisy, clean).item()
        ours = to_images(to_bytes(sf.restore(noisy, task=task)))
        found = filters(noisy) | {f"sfumato restore --task {task}": ours}
        for each, images in found.items():
            gains.setdefault(each, []).append(psnr(images, clean).item() - start)
        iso = int(match[1]) if (match := re.search(r"_(\d{3,5})_[a-z]", name)) else 6400
        rows.append((name, start, psnr(ours, clean).item() - start, iso))
        print(f"{name:44s} {start:6.2f} dB  {rows[-1][2]:+6.2f}", flush=True)
    mean = statistics.mean(row[1] for row in rows)
    print(f"\nas it is: {mean:.2f} dB, mean of {len(rows)} ({instructions()})")
    for kind in ("non-local means", "bilateral"):
        settings = {name: values for name, values in gains.items() if name.startswith(kind)}
        best = max(settings, key=lambda name: statistics.mean(settings[name]))
        each = statistics.mean(max(values) for values in zip(*settings.values(), strict=True))
        print(f"{best}: {mean + statistics.mean(settings[best]):.2f} dB; best of all: {mean + each:.2f}")
    high = [row for row in rows if row[3] >= 1600]
    print(
        f"restore --task {task}: {mean + statistics.mean(row[2] for row in rows):.2f} dB; worst {min(row[2] for row in rows):+.2f}; "
        f"acts on {sum(row[2] != 0 for row in high)} of {len(high)} at ISO 1600 and more"
    )


if __name__ == "__main__":
    which, every, task = [*sys.argv[1:], *("polyu", "1", "auto")[len(sys.argv) - 1 :]]
    main({"polyu": polyu, "night": night}[which], int(every), task)
