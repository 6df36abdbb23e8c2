"""Draws the pictures of docs/dreaming.md from the photographs that come with scikit-image, which are in the public domain.

python -m scripts.dreams [before-after | layers | steering | classes | atlas | zoom | through] ...
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from skimage import data

from sfumato.core.device import keep_memory, set_threads
from sfumato.core.tensors import Images, to_images, to_pixels
from sfumato.dreaming.atlas import atlas
from sfumato.dreaming.dream import Dream, dream
from sfumato.dreaming.feature_extractor import dream_network
from sfumato.dreaming.films import falling
from sfumato.dreaming.latent import dream_through, enlarged
from sfumato.nn.resample import resize

FOLDER = Path("docs/pictures")
GAP = 6


def photograph(name: str) -> Images:
    pixels = torch.from_numpy(getattr(data, name)().copy())
    return to_images(pixels.permute(2, 0, 1)[None])


def before_after(seeing) -> None:
    rows = []
    for name, layer in (("chelsea", "fire7"), ("rocket", "fire5")):
        picture = photograph(name)
        rows.append([picture, dream(picture, seeing, Dream(layers=(layer,))).images])
    save("dream-before-after", [[fitted(x, 300) for x in row] for row in rows])


def layers(seeing) -> None:
    picture = photograph("chelsea")
    made = [dream(picture, seeing, Dream(layers=(name,))).images for name in ("conv1", "fire2", "fire4", "fire5", "fire7", "fire9")]
    save("dream-layers", [[fitted(x, 210) for x in made[:3]], [fitted(x, 210) for x in made[3:]]])


def steering(seeing) -> None:
    """A mask, a guide, little strength, and as near as can be."""
    picture, guide = photograph("astronaut"), photograph("coffee")
    mask = torch.zeros(1, 1, 512, 512)
    mask[..., :, :170] = 1
    mask[..., :, 350:] = 1
    masked = dream(picture, seeing, Dream(), mask=mask).images
    guided = dream(picture, seeing, Dream(layers=("fire6",)), guide=guide).images
    faint = dream(picture, seeing, Dream(strength=0.3)).images
    near = dream(picture, seeing, Dream(layers=("fire5",), alpha=3.0, steps=30)).images
    save("dream-steering", [[fitted(x, 260) for x in (masked, guided, faint, near)]])


def classes(seeing) -> None:
    made = [dream(None, seeing, Dream(label=label)).images for label in ("goldfish", "flamingo", "jellyfish", "Granny Smith", "volcano")]
    save("dream-classes", [made])


def drawn_atlas(seeing) -> None:
    made = [atlas(seeing, layer, channels=range(10))[0] for layer in ("fire3", "fire5", "fire8")]
    save("dream-atlas", [[enlarged(x[i : i + 1], 2) for i in range(10)] for x in made])


def zoom(seeing) -> None:
    frames = list(falling(photograph("coffee"), seeing, Dream(), frames=31))
    save("dream-zoom", [[fitted(frames[i], 200) for i in (0, 10, 20, 30)]])


def through(_) -> None:
    rows = []
    for label in ("Ankle boot", "Bag"):
        how = Dream(label=label)
        start = dream_through("fashion", "fashion-classifier", Dream(label=label, steps=1, strength=0.0), n=8, shows="dress")
        found = dream_through("fashion", "fashion-classifier", how, n=8, shows="dress")
        rows += [list(enlarged(x, 3).split(1)) for x in (start.dreamt.images, found.dreamt.images)]
    save("dream-through", rows)


def fitted(image: Images, height: int) -> Images:
    return resize(image, (height, round(image.shape[3] * height / image.shape[2]))).clamp(0, 1)


def save(name: str, rows: Sequence[Sequence[Images]]) -> None:
    """Images of equal height in a row, rows of equal width below each other, white between."""
    lines = []
    for row in rows:
        gap = torch.ones(1, row[0].shape[1], row[0].shape[2], GAP)
        lines.append(torch.cat([part for image in row for part in (image, gap)][:-1], dim=3))
    wide = max(line.shape[3] for line in lines)
    lines = [torch.nn.functional.pad(line, (0, wide - line.shape[3]), value=1.0) for line in lines]
    gap = torch.ones(1, lines[0].shape[1], GAP, wide)
    whole = torch.cat([part for line in lines for part in (line, gap)][:-1], dim=2)
    Image.fromarray(to_pixels(whole.expand(-1, 3, -1, -1)).numpy()).save(FOLDER / f"{name}.jpg", quality=85)


JOBS = {
    "before-after": before_after,
    "layers": layers,
    "steering": steering,
    "classes": classes,
    "atlas": drawn_atlas,
    "zoom": zoom,
    "through": through,
}

if __name__ == "__main__":
    set_threads()
    keep_memory()
    network = dream_network("squeezenet")
    for each in sys.argv[1:] or JOBS:
        JOBS[each](network)
