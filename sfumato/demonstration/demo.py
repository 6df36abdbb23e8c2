"""The demonstration: trains a generator on drawn letters, repairs, edits and dreams, and writes a picture and a page. Takes two minutes.

No files and no internet are needed.
"""

import dataclasses
from pathlib import Path

import torch
from torch import nn

from sfumato.core import atomic_io, outputs
from sfumato.core.tensors import Images, to_images
from sfumato.data.dataset import Dataset
from sfumato.data.glyphs import glyphs
from sfumato.demonstration.blocks import Section
from sfumato.demonstration.page import page, sheet
from sfumato.demonstration.showcase import showcase
from sfumato.evaluation.roles import roles_of
from sfumato.generation import generate as generating
from sfumato.generation import interpolate as walking
from sfumato.io.files import save_image
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model
from sfumato.train.log import Callback
from sfumato.train.loop import fit

WORD = "SFUMATO"
"""The word of the demonstration; its letters are the classes of the data."""
DRAWN = 12_000


def demo(out: str | Path, *, budget: str = "75s", overwrite: bool = False, watch: Callback | None = None) -> dict[str, Path]:
    """Trains on drawn letters for `budget`, samples, and writes `picture`, `page` and `model`; returns their paths.

    A second call with the same folder uses the trained model in it. Raises SettingError for an `out` that ends like a file, and for
    existing files that no earlier demo wrote, unless `overwrite`; StorageError if the folder cannot be written.
    """
    out = Path(out)
    outputs.check_folder_name(out)
    pages = [out / "walk.gif", out / "sfumato.png", out / "index.html"]
    with outputs.reserved(pages, by="demo", overwrite=overwrite):
        return _demo(out, budget, watch or Callback())


def _demo(out: Path, budget: str, watch: Callback) -> dict[str, Path]:
    """The work of `demo`, once its files are reserved."""
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
    blocks = [*showcase(on_part=watch.note), *bundled_sections(), *page_sections(model, data, run, written, out)]
    atomic_io.write(out / "index.html", page("Sfumato", blocks))
    return {"picture": picture, "page": out / "index.html", "model": run / "model.safetensors"}


def write(model: Model, word: str, *, styles: int) -> Images:
    """Generated letters of `word`, for each of `styles` latents: (styles * len(word), 1, h, w). One latent gives one handwriting."""
    names = generating.class_names(model)
    labels = torch.tensor([names.index(letter) for letter in word])
    source = generating.sampler(model)
    one = torch.cat([generating.latent(source.network, seed) for seed in range(styles)])
    return generating.synthesize(source, one.repeat_interleave(len(word), dim=0), labels.repeat(styles))


def samples_of(data: Dataset, count: int) -> Images:
    """The first `count` images of `data`, in [0, 1]."""
    return to_images(data.pixels[:count])


def page_sections(model: LoadedModel[nn.Module], data: Dataset, run: Path, written: Images, out: Path) -> list[Section]:
    """The sections of the page about the run: result, training images, samples during the training, walk."""
    card = model.card
    sheets = sorted((run / "samples").glob("*.png"))
    stages = [sheets[0], sheets[len(sheets) // 3], sheets[-1]] if len(sheets) > 2 else sheets
    return [
        Section(
            title="Trained just now",
            text=f"The word {WORD} in eight handwritings: one latent for each handwriting, one class for each letter. "
            f"Trained for {card.minutes or 0:.1f} minutes on {card.images_seen or 0:,} images.",
            pictures=(sheet([(written, 2 * len(WORD))]),),
            scale=3,
        ),
        Section(
            title="Training images",
            text=f"{len(data):,} letters that the toolkit draws; no two are the same.",
            pictures=(sheet([(samples_of(data, 56), 14)]),),
            scale=2,
        ),
        # A very short run has no samples.
        *[
            Section(
                title="Training",
                text="Images of the same latents during the training: " + ", ".join(f"{int(s.stem):,}" for s in stages) + " images.",
                pictures=tuple(stages),
                scale=1,
            )
            for _ in stages[:1]
        ],
        Section(title="Walk", text="A walk through latent space from seed to seed.", pictures=(out / "walk.gif",), scale=1),
    ]


def bundled_sections() -> list[Section]:
    """The sections of the page about the bundled generators."""
    sections = []
    for name in weights.bundled():
        model = weights.load(name)
        generator = roles_of(model.network).generator
        if generator is None:
            continue
        small = generator.size[1] <= 32
        images = generating.generate(model, 40, device="cpu")
        terms = model.card.data.terms
        text = f"sfumato generate {name} -n 40. Trained on {terms}"
        picture = sheet([(images, 20 if small else 10)])
        sections.append(Section(title=f"Bundled: {name}", text=text, pictures=(picture,), scale=2 if small else 1))
    return sections
