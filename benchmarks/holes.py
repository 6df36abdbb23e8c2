"""How well are large holes filled?

One box is cut out of each picture, at a place that numpy's default_rng(number of the picture) draws, and filled by `sfumato restore`,
by the bundled network alone (all that there was before patches), and by Telea's method (OpenCV). LPIPS (SqueezeNet) is that of the whole
picture and lower for what looks nearer to the truth; PSNR is of the pixels of the hole alone. Seconds are of the processor.

    python -m benchmarks.holes [side of the box] [train, val or a folder] [every so many pictures]     64 val 1
    python -m benchmarks.holes sizes [every so many]              which holes are better filled with patches: boxes of 8 to 64, train
    python -m benchmarks.holes sheet FILE [train, val or a folder]   ten holes: cut out, network, restored, truth; else of scikit-image
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from sfumato.classical import fill
from sfumato.classical.completion import fill_with_patches
from sfumato.core.device import instructions, keep_memory
from sfumato.core.tensors import Images, Planes, to_images, to_pixels
from sfumato.data.scenes import load_scenes
from sfumato.evaluation.diversity import comparer
from sfumato.metrics.perceptual import lpips
from sfumato.restoration.batch import repaired
from sfumato.restoration.holes import RIM
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.tiles import apply_restorer

Fill = Callable[[Images, Planes], Images]
INPAINT = RestorationRequest(task="inpaint")
PARTS: dict[str, Literal["train", "test"]] = {"train": "train", "val": "test"}
"""Of BSDS500: its train and test to choose by, and its val to measure."""
SHOWN = ("astronaut", "coffee", "cat", "rocket", "brick", "grass", "gravel", "camera", "astronaut", "coffee")
"""Photographs in the public domain or under CC0, by scikit-image's own notes on them."""
VIEW = 144
"""Pixels a side of what the sheet shows around each hole."""


def restored(images: Images, observed: Planes) -> Images:
    return repaired(images, make_plan(INPAINT, images, observed=observed), INPAINT)


def network(images: Images, observed: Planes) -> Images:
    return torch.where(observed > 0, images, apply_restorer("inpaint", images, observed=observed))


def telea(images: Images, observed: Planes) -> Images:
    return fill.telea(images, observed=observed)


def patches(images: Images, observed: Planes) -> Images:
    """However small the hole: after the network, as in `restored`."""
    seen = observed[0, 0] > 0
    return fill_with_patches(network(images, observed)[0], hole=~seen, trusted=seen, rim=RIM)[0][None]


def pictures(source: str, step: int) -> Iterator[tuple[int, Images]]:
    name, part = ("bsds500", PARTS[source]) if source in PARTS else (source, "all")
    for i, picture in enumerate(load_scenes(name, channels=3, part=part, largest=None).pictures):
        if i % step == 0:
            yield i, to_images(picture[None])


def with_box(images: Images, side: int, number: int) -> Planes:
    """1 outside a box that is drawn for the picture of this number."""
    rng, (h, w) = np.random.default_rng(number), images.shape[2:]
    top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
    observed = torch.ones(1, 1, h, w)
    observed[..., top : top + side, left : left + side] = 0
    return observed


def measured(fills: dict[str, Fill], source: str, side: int, step: int) -> dict[str, torch.Tensor]:
    """LPIPS, PSNR in the hole and seconds of each, means over the pictures; and how many there were."""
    compare, rows = comparer("lpips-squeeze"), {name: [] for name in fills}
    for number, clean in pictures(source, step):
        observed = with_box(clean, side, number)
        for name, apply in fills.items():
            began = time.process_time()
            made = (apply(clean * observed, observed) * 255).round() / 255
            seconds = time.process_time() - began
            error = (made - clean)[(observed == 0).expand_as(clean)].square().mean()
            rows[name].append((lpips(compare, made, clean).item(), -10 * error.log10().item(), seconds))
    return {name: torch.tensor(values) for name, values in rows.items()}


def compared(side: int, source: str, step: int) -> None:
    fills: dict[str, Fill] = {"restore": restored, "inpaint alone": network, "telea": telea}
    if importlib.util.find_spec("cv2") is None:
        print("telea is left out: it needs OpenCV (pip install opencv-python-headless)")
        del fills["telea"]
    found = measured(fills, source, side, step)
    print(f"boxes of {side} x {side}, {source}, {len(found['restore'])} pictures")
    print("| method | LPIPS | restore's against it | PSNR in the hole | worse than restore in LPIPS | seconds |\n|---|---|---|---|---|---|")
    ours = found["restore"]
    for name, values in found.items():
        distance, quality, seconds = values.mean(dim=0).tolist()
        worse = int((values[:, 0] > ours[:, 0]).sum())
        print(f"| {name} | {distance:.5f} | {ours[:, 0].mean() / distance:.2f} | {quality:.2f} dB | {worse} | {seconds:.2f} |", flush=True)


def sizes(step: int) -> None:
    print("| side | LPIPS: patches | inpaint alone | PSNR: patches | inpaint alone |\n|---|---|---|---|---|")
    for side in (8, 12, 16, 24, 32, 48, 64):
        ours, theirs = measured({"patches": patches, "inpaint": network}, "train", side, step).values()
        (near, better, _), (far, worse, _) = ours.mean(dim=0).tolist(), theirs.mean(dim=0).tolist()
        print(f"| {side} | {near:.5f} | {far:.5f} | {better:.2f} | {worse:.2f} |", flush=True)


def shown(folder: str | None) -> Iterator[tuple[int, Images]]:
    """Ten pictures: of the folder, at even distances, or scikit-image's."""
    if folder is not None:
        found = list(pictures(folder, 1))
        yield from found[:: max(1, len(found) // 10)][:10]
        return
    import skimage.data

    for i, name in enumerate(SHOWN):
        pixels = torch.from_numpy(getattr(skimage.data, name)().copy())
        pixels = pixels[..., None].expand(-1, -1, 3) if pixels.ndim == 2 else pixels
        yield i, to_images(pixels.permute(2, 0, 1)[None].contiguous())


def sheet(target: Path, folder: str | None, side: int = 64) -> None:
    """Each row twice: cut out, the network alone, restored, and as it was."""
    cells = []
    for number, clean in shown(folder):
        observed = with_box(clean, side, number)
        rows, columns = (observed[0, 0] == 0).nonzero().T
        top, left = (
            min(max(0, int(p.min()) + side // 2 - VIEW // 2), s - VIEW) for p, s in zip((rows, columns), clean.shape[2:], strict=True)
        )
        images = [clean * observed + (1 - observed), network(clean * observed, observed), restored(clean * observed, observed), clean]
        cells += [image[..., top : top + VIEW, left : left + VIEW] for image in images]
    Image.fromarray(to_pixels(torch.cat(cells), columns=8).numpy()).save(target, quality=80)


def main(words: list[str]) -> None:
    print(instructions())
    keep_memory()
    if words[:1] == ["sheet"]:
        sheet(Path(words[1]), words[2] if len(words) > 2 else None)
    elif words[:1] == ["sizes"]:
        sizes(int(words[1]) if len(words) > 1 else 1)
    else:
        side, source, step = (words + ["64", "val", "1"][len(words) :])[:3]
        compared(int(side), source, int(step))


if __name__ == "__main__":
    main(sys.argv[1:])
