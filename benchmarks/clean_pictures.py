"""Does `restore` leave pictures alone that nothing is wrong with?

Photographs of BSDS500 as they are and shrunk to half, grey ones of BSD68, wallpaper photographs, drawings with letters, and the clean
pictures of `SFUMATO_DATA/../cases` go through `--task auto`. The number of changed pictures is printed, and the least PSNR of a changed
picture against the original.

    python -m benchmarks.clean_pictures [every n-th picture]
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.core.tensors import Images, to_images
from sfumato.data.scenes import load_scenes
from sfumato.io.channels import as_images
from sfumato.io.files import read
from sfumato.metrics.fidelity import psnr

SETS = {"bsds500": 3, "bsds500-half": 3, "bsd68": 1, "photos": 3, "drawings": 3}
"""Names of data sets, and how many channels their pictures are read with."""


def pictures(name: str, every: int) -> Iterator[tuple[str, Images]]:
    """Name and pixels of each picture of the set."""
    if name == "cases":
        folder = Path(os.environ.get("SFUMATO_DATA", ".")).parent / "cases" / "pictures"
        for path in sorted(folder.glob("truth_*.png")):
            yield path.name, as_images(read(path).pixels)
        return
    scenes = load_scenes(name, channels=SETS[name], part="all", largest=None)
    for i, picture in enumerate(scenes.pictures[::every]):
        yield f"{name} {i * every}", to_images(picture[None])


def main(every: int) -> None:
    keep_memory()
    for name in (*SETS, "cases"):
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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
