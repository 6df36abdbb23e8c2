"""What is left of a JPEG's repair once it is a JPEG again?

Photographs that nobody trains on, halved (they have been JPEGs themselves), are compressed, repaired by `restore`, and written with
quality 95, as a repaired JPEG is. Printed is how much nearer to the photograph that brings them, in dB, each quality in its column.

    python -m benchmarks.jpegs [photographs]
"""

import sys
from typing import Literal

import torch

from sfumato.core.device import keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.degradations import jpeg
from sfumato.degradations.base import degrade
from sfumato.metrics.fidelity import psnr
from sfumato.nn.resample import shrink
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import weights

QUALITIES = (10, 20, 30, 40, 50, 60, 70, 90)


def stored(images: Maps, quality: float, subsampling: Literal["4:2:0", "4:4:4"]) -> Images:
    """What a JPEG of `images` shows."""
    how = jpeg.Config(quality=(quality, quality), subsampling=subsampling)
    return degrade(how, images, rng=seeded_generator(0)).images


def main(photographs: int) -> None:
    keep_memory()
    network = weights.load("restore").network.with_luma_apart()
    print(f"| pictures | {' | '.join(map(str, QUALITIES))} |\n|---|{'---|' * len(QUALITIES)}")
    for channels, name in ((1, "grey"), (3, "colour")):
        pictures = load_scenes("bsds500", channels=channels, part="test", largest=None).pictures[:photographs]
        gains = []
        for picture in pictures:
            clean = to_images(to_bytes(shrink(to_images(picture[None]), 2, method="area")))
            seen = [stored(clean, quality, "4:2:0") for quality in QUALITIES]
            again = [stored(apply_restorer(network, image).clamp(0, 1), 95, "4:4:4") for image in seen]
            gains.append([float(psnr(after, clean) - psnr(before, clean)) for after, before in zip(again, seen, strict=True)])
        print(f"| {name} | {' | '.join(f'{gain:+.2f}' for gain in torch.tensor(gains).mean(0).tolist())} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
