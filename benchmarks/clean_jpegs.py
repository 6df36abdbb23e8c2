"""What does `restore` do to photographs that were stored as a JPEG, and that nothing else is wrong with?

Much of a photograph may be out of focus: sharp insects before a soft meadow are no blurred picture. The photographs of `photos` as they
are and shrunk to half, and those of BSDS500's val, are stored by Pillow at each quality and go through `--task auto`. Printed are the
mean gain in PSNR, the least one, and how many lose more than 0.02 dB.

    python -m benchmarks.clean_jpegs [every n-th picture of BSDS500] [quality ...]
"""

import io
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.core.tensors import Images, to_images
from sfumato.metrics.fidelity import psnr

HARM = 0.02
"""Loss in dB that nobody could see."""


def groups(every: int) -> dict[str, list[tuple[str, Image.Image]]]:
    """Photographs and their names, by the set and the size."""
    root = Path(os.environ["SFUMATO_DATA"])
    photos = [(path.stem, Image.open(path).convert("RGB")) for path in sorted((root / "photos").glob("*.webp"))]
    val = sorted((root / "bsds500" / "val").glob("*.jpg"))[::every]
    halves = [(name, picture.reduce(2)) for name, picture in photos]
    return {"photos": photos, "photos at half size": halves, "bsds500": [(path.stem, Image.open(path).convert("RGB")) for path in val]}


def gain(picture: Image.Image, quality: int) -> float:
    """Decibels that `restore` brings to the picture's JPEG, measured against the picture."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    clean, stored = as_images(picture), as_images(Image.open(file))
    return float(psnr(sf.restore(stored), clean) - psnr(stored, clean))


def as_images(picture: Image.Image) -> Images:
    return to_images(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].contiguous())


def main(every: int, qualities: list[int]) -> None:
    keep_memory()
    print("| photographs | quality | mean gain | least gain | lose more than 0.02 dB |\n|---|---|---|---|---|")
    for group, named in groups(every).items():
        for quality in qualities:
            gains = {name: gain(picture, quality) for name, picture in named}
            least = min(gains, key=lambda name: gains[name])
            losers = [f"{name} {value:+.2f}" for name, value in gains.items() if value < -HARM]
            row = [group, str(quality), f"{sum(gains.values()) / len(gains):+.2f}", f"{gains[least]:+.2f} ({least})"]
            print(f"| {' | '.join(row)} | {len(losers)} of {len(gains)}{': ' if losers else ''}{', '.join(losers[:5])} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4, [int(word) for word in sys.argv[2:]] or [60, 75, 85, 92, 96])
