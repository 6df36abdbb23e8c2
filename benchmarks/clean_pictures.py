"""Does `restore` leave pictures alone that nothing is wrong with?

Photographs of BSDS500 as they are and shrunk to half, grey ones of BSD68, wallpaper photographs, drawings with letters, the clean pictures
of `SFUMATO_DATA/../cases`, scikit-image's photographs and rendered pages, windows, ramps and signs go through `--task auto`. The number of
changed pictures is printed, and the least PSNR of a changed picture against the original.

    python -m benchmarks.clean_pictures [every n-th picture] [sets, joined by commas]
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.core.tensors import Images, to_images
from sfumato.data.scenes import load_scenes
from sfumato.io.channels import as_images
from sfumato.io.files import read
from sfumato.metrics.fidelity import psnr

SETS = {"bsds500": 3, "bsds500-half": 3, "bsd68": 1, "photos": 3, "drawings": 3}
"""Names of data sets, and how many channels their pictures are read with."""
SHOWN = (
    "astronaut",
    "coffee",
    "cat",
    "rocket",
    "camera",
    "coins",
    "page",
    "text",
    "clock",
    "hubble_deep_field",
    "retina",
    "immunohistochemistry",
)
"""Photographs and scans of scikit-image; noise can be seen in the page, the coins and Hubble's stars."""


def photographs() -> Iterator[tuple[str, Images]]:
    """Pictures that come with scikit-image, at most 600 pixels a side."""
    import skimage.data

    for name in SHOWN:
        try:
            pixels = torch.from_numpy(getattr(skimage.data, name)().copy())
        except OSError:  # it is not in the package, and cannot be fetched
            continue
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
        yield name, to_images(pixels[:600, :600].permute(2, 0, 1)[None].contiguous())


def rendered() -> Iterator[tuple[str, Images]]:
    """A page of letters, a window with buttons, ramps and a sign, in a light and a dark colour scheme each."""
    for paper, ink in (("white", "black"), ("#22262e", "#d8dee9")):
        for kind in ("page", "window", "ramp", "sign"):
            image = Image.new("RGB", (400, 300), paper)
            draw = ImageDraw.Draw(image)
            if kind in ("page", "window"):
                for row in range(20, 280, 16):
                    draw.text((20, row), f"{row}: the quick brown fox jumps over the lazy dog, {row * 7919 % 1000} times", fill=ink)
            if kind == "window":
                draw.rectangle((0, 0, 400, 18), fill="#3b6ea5")
                draw.rounded_rectangle((290, 230, 380, 280), radius=8, fill="#4c9a5b", outline=ink)
            if kind == "ramp":
                steps = torch.linspace(0, 255, 400)
                plane = (steps[None, :] * 0.7 + torch.linspace(0, 75, 300)[:, None]).to(torch.uint8)
                image = Image.fromarray(plane[..., None].expand(-1, -1, 3).contiguous().numpy())
            if kind == "sign":
                draw.ellipse((120, 70, 280, 230), fill="#c0392b", outline=ink, width=6)
                draw.polygon([(200, 90), (260, 200), (140, 200)], fill="#f1c40f")
            yield f"{kind} on {paper}", to_images(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous())


DRAWN = {"scikit-image": photographs, "rendered": rendered}


def pictures(name: str, every: int) -> Iterator[tuple[str, Images]]:
    """Name and pixels of each picture of the set."""
    if name in DRAWN:
        yield from DRAWN[name]()
        return
    if name == "cases":
        folder = Path(os.environ.get("SFUMATO_DATA", ".")).parent / "cases" / "pictures"
        for path in sorted(folder.glob("truth_*.png")):
            yield path.name, as_images(read(path).pixels)
        return
    scenes = load_scenes(name, channels=SETS[name], part="all", largest=None)
    for i, picture in enumerate(scenes.pictures[::every]):
        yield f"{name} {i * every}", to_images(picture[None])


def main(every: int, names: list[str]) -> None:
    keep_memory()
    for name in names:
        count, changed = 0, {}
        for each, images in pictures(name, every):
            after = sf.restore(images)
            count += 1
            if not after.equal(images):
                changed[each] = psnr(after, images).item()
        worst = min(changed, key=lambda each: changed[each], default=None)
        print(f"{name}: {len(changed)} of {count} changed" + (f"; most {worst}, to {changed[worst]:.1f} dB" if worst else ""), flush=True)
        print("   ", ", ".join(f"{each} {value:.1f}" for each, value in list(changed.items())[:12]), flush=True)


if __name__ == "__main__":
    chosen = sys.argv[2].split(",") if len(sys.argv) > 2 else [*SETS, "cases", *DRAWN]
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, chosen)
