"""Does a labelled folder that no recipe was tuned for become a generator whose classes are as various as the pictures, and without a grid?

Four sets: squares of 32 pixels cut from photographs, in ten folders by brightness; faces of cats at 64 pixels, in six classes that are
invented by their brightness; satellite tiles; letters and digits in colour. Each is trained on with the recipe as it stands for a budget
by the clock, then 64 images a class are compared with the real ones.

    spread within classes   standard deviation of a pixel over the images of a class, averaged over pixels, generated over real: of all
                            classes on average, and of the least various class. Bar: 0.6 in every class
    grid                    how far the spectrum stands out at periods of 2 and 4 pixels, generated over real (`metrics/grid.py`). Bar: 1.5

    python -m benchmarks.unseen [--minutes 10] [--recipe dcgan] [--sets photographs cats ...] [--set NAME=VALUE ...] [--sheets FOLDER]

`--set by_class=false --set model.upsample=transposed` gives the figures and the sheets of before.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from sfumato.core.config import override
from sfumato.core.device import instructions, keep_memory, set_threads
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, to_bytes, to_images, to_pixels
from sfumato.data.dataset import Dataset
from sfumato.data.glyphs import glyphs
from sfumato.data.load import load
from sfumato.data.scenes import load_scenes
from sfumato.io.files import save_image
from sfumato.metrics.grid import grid
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.recipes import recipe
from sfumato.train.loop import fit

A_CLASS = 64
"""Images of each class that are compared."""


def photographs() -> Dataset:
    """5,000 squares cut at random out of BSDS500's photographs, made 32 pixels small; a class is a tenth of the pictures, by brightness."""
    rng = seeded_generator(0, "unseen")
    pictures = sorted(load_scenes("bsds500", channels=3).pictures, key=lambda picture: float(picture.float().mean()))
    cut, labels = [], []
    for label in range(10):
        group = pictures[label * len(pictures) // 10 : (label + 1) * len(pictures) // 10]
        for i in range(500):
            picture = group[i % len(group)]
            side = int(torch.randint(64, min(picture.shape[1:]) + 1, (), generator=rng))
            top, left = (int(torch.randint(0, length - side + 1, (), generator=rng)) for length in picture.shape[1:])
            square = to_images(picture[None, :, top : top + side, left : left + side])
            cut.append(to_bytes(F.interpolate(square, size=(32, 32), mode="area")))
            labels.append(label)
    return Dataset(name="photographs", pixels=torch.cat(cut), labels=torch.tensor(labels), classes=tuple("0123456789"))


def cats() -> Dataset:
    """The faces of cats in six classes that nobody asked for: the darkest sixth, the next, and so on."""
    faces = load("cats64")
    order = faces.pixels.float().mean(dim=(1, 2, 3)).argsort()
    labels = torch.empty(len(faces), dtype=torch.int64)
    labels[order] = torch.arange(len(faces)) * 6 // len(faces)
    return Dataset(name="cats", pixels=faces.pixels, labels=labels, classes=tuple("012345"))


SETS: dict[str, Callable[[], Dataset]] = {
    "photographs": photographs,
    "cats": cats,
    "eurosat": lambda: load("eurosat"),
    "glyphs": lambda: glyphs(channels=3),
}


@torch.no_grad()
def samples(model: StyleGenerator, classes: int) -> tuple[Images, Labels]:
    """`A_CLASS` images of each class, class after class."""
    labels = torch.arange(classes).repeat_interleave(A_CLASS)
    z = latents(model, len(labels), seeded_generator(0, "unseen samples"))
    parts = zip(z.split(256), labels.split(256), strict=True)
    return torch.cat([model.sample(some, told).clamp(0, 1) for some, told in parts]), labels


def spread(images: Images, labels: Labels) -> torch.Tensor:
    """Of each class, the standard deviation of a pixel over its images, averaged over pixels."""
    return torch.stack([images[labels == label].std(dim=0).mean() for label in labels.unique()])


def sheet(images: Images, classes: int, *, columns: int = 8) -> torch.Tensor:
    """The first images of up to ten classes, a row each."""
    rows = [images[label * A_CLASS : label * A_CLASS + columns] for label in range(min(classes, 10))]
    return to_pixels(torch.cat(rows), columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="NAME=VALUE")
    parser.add_argument("--images", type=int, help="train for so many images, and not by the clock")
    parser.add_argument("--sheets", type=Path)
    asked = parser.parse_args()
    keep_memory()
    threads = set_threads(None)
    length = f"images={asked.images}" if asked.images else f"budget={asked.minutes:g}min"
    print(instructions())
    print(f"recipe {asked.recipe}, {length}, {threads} threads, {' '.join(asked.changes) or 'as it stands'}")
    print(f"{'':12} {'images':>8} {'minutes':>8} {'within':>7} {'least':>7} {'grid':>6}")
    for name in asked.sets:
        data = SETS[name]()
        settings = override(recipe(asked.recipe), f"data={name}", length, *asked.changes)
        model = fit(settings, data=data)
        if model.interrupted:
            raise SystemExit(f"interrupted after {model.card.images_seen:,} images; nothing was measured")
        made, labels = samples(model.network, len(data.classes))
        assert data.labels is not None
        real = to_images(data.pixels)
        within = spread(made, labels) / spread(real, data.labels)
        card = model.card
        print(
            f"{name:12} {card.images_seen:8,} {card.minutes:8.1f} {within.mean():7.2f} {within.min():7.2f} {grid(real, made):6.2f}",
            flush=True,
        )
        if asked.sheets:
            save_image(asked.sheets / f"{name}.png", sheet(made, len(data.classes)))


if __name__ == "__main__":
    main()
