"""From nothing to new images in two minutes: draw letters, train a generator on them, sample from it, look.

Needs no files and no network. Leaves one picture, and one page that shows everything.
"""

import dataclasses
from pathlib import Path

import torch
from torch import nn

from sfumato.core import atomic_io, outputs
from sfumato.core.tensors import Images, to_images
from sfumato.data.dataset import Dataset
from sfumato.data.glyphs import glyphs
from sfumato.demonstration.page import Section, page, sheet
from sfumato.generation import generate as generating
from sfumato.generation import interpolate as walking
from sfumato.io.files import save_image
from sfumato.models.roles.generator import Generator
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model
from sfumato.train.log import Callback
from sfumato.train.loop import fit

WORD = "SFUMATO"
"""What the demo learns to write, and the names of its classes."""
DRAWN = 12_000


def demo(out: Path, *, budget: str = "75s", overwrite: bool = False, watch: Callback | None = None) -> dict[str, Path]:
    """Trains on drawn letters for `budget`, samples, and writes `picture`, `page` and `model`; returns their paths.

    Run again in the same folder, it finds the trained model there and goes straight to the pictures. Raises SettingError for an `out`
    that ends like a file, and for files that are there and that no earlier demo wrote, unless `overwrite`; StorageError if the folder
    cannot be written.
    """
    outputs.check_folder_name(out)
    pages = [out / "walk.gif", out / "sfumato.png", out / "index.html"]
    with outputs.reserved(pages, by="demo", overwrite=overwrite):
        return _demo(out, budget, watch or Callback())


def _demo(out: Path, budget: str, watch: Callback) -> dict[str, Path]:
    """`demo`, once its files have a place."""
    settings = dataclasses.replace(recipe("glyphs"), budget=budget)
    watch.note(f"drawing {DRAWN:,} letters")
    data = glyphs(DRAWN, (28, 28), characters=WORD)
    run = out / "run"
    model = fit(settings, run=run, data=data, watch=watch)
    if model.interrupted:
        raise KeyboardInterrupt

    watch.note("sampling")
    written = write(model, WORD, styles=8)
    walk = walking.interpolate(model, seeds=(0, 1, 2, 3), label="S", steps=16)
    walking.save(walk, out / "walk.gif", fps=16, enlarge=4)
    picture = out / "sfumato.png"
    save_image(picture, sheet([(samples_of(data, len(WORD) * 4), 14), (written, 2 * len(WORD))]))
    sections = [*page_sections(model, data, run, written, out), *others()]
    atomic_io.write(out / "index.html", page("Sfumato", sections))
    return {"picture": picture, "page": out / "index.html", "model": run / "model.safetensors"}


def write(model: Model, word: str, *, styles: int) -> Images:
    """`word` in generated letters, once for each of `styles` latents; one latent is one hand."""
    names = generating.class_names(model)
    labels = torch.tensor([names.index(letter) for letter in word])
    source = generating.sampler(model)
    one = torch.cat([generating.latent(source.network, seed) for seed in range(styles)])
    return generating.synthesize(source, one.repeat_interleave(len(word), dim=0), labels.repeat(styles))


def samples_of(data: Dataset, count: int) -> Images:
    """The first `count` images."""
    return to_images(data.pixels[:count])


def page_sections(model: LoadedModel[nn.Module], data: Dataset, run: Path, written: Images, out: Path) -> list[Section]:
    """The story of the run: what it saw, how it got on, what it made."""
    card = model.card
    sheets = sorted((run / "samples").glob("*.png"))
    stages = [sheets[0], sheets[len(sheets) // 3], sheets[-1]] if len(sheets) > 2 else sheets
    return [
        Section(
            title="What it learned",
            text=f"The word {WORD}, in eight hands: one latent each, one label a letter. "
            f"Trained for {card.minutes or 0:.1f} minutes on {card.images_seen or 0:,} images.",
            pictures=(sheet([(written, 2 * len(WORD))]),),
            scale=3,
        ),
        Section(
            title="What it saw",
            text=f"{len(data):,} letters that the toolkit draws itself, no two alike.",
            pictures=(sheet([(samples_of(data, 56), 14)]),),
            scale=2,
        ),
        # A run without time for a sheet has none to show.
        *[
            Section(
                title="How it got there",
                text="The same latents, sampled while it trained: " + ", ".join(f"{int(s.stem):,}" for s in stages) + " images.",
                pictures=tuple(stages),
                scale=1,
            )
            for _ in stages[:1]
        ],
        Section(title="Between two letters", text="A walk through latent space.", pictures=(out / "walk.gif",), scale=1),
    ]


def others() -> list[Section]:
    """Samples of the bundled generators."""
    sections = []
    for name in weights.bundled():
        model = weights.load(name)
        if not isinstance(model.network, Generator):
            continue
        small = model.network.size[1] <= 32
        images = generating.generate(model, 40, device="cpu")
        terms = model.card.data.terms
        text = f"sfumato generate {name} -n 40. Trained on {terms}"
        picture = sheet([(images, 20 if small else 10)])
        sections.append(Section(title=f"Bundled: {name}", text=text, pictures=(picture,), scale=2 if small else 1))
    return sections
