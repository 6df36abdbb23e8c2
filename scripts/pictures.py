"""Draws the pictures of the documentation, all from the bundled models and the toolkit's own glyphs.

python -m scripts.pictures
"""

from pathlib import Path

from sfumato.core import runtime
from sfumato.core.image import to_images
from sfumato.data.files import save_image
from sfumato.data.glyphs import glyphs
from sfumato.jobs.generate import generate
from sfumato.jobs.page import sheet
from sfumato.store import weights

FOLDER = Path("docs/pictures")


def main() -> None:
    runtime.set_threads()
    generators = [name for name in ("fashion", "digits", "digits-vae") if name in weights.bundled()]
    groups = [(generate(name, 60 if name != "digits-vae" else 20, seed=100), 20) for name in generators]
    save_image(FOLDER / "bundled.png", enlarged(sheet(groups), 2))
    for name in generators:
        save_image(FOLDER / f"{name}.png", enlarged(sheet([(generate(name, 100), 20)]), 2))
    # As they come, seeds 0 to 47; as JPEG, which photographs need a fifth of the bytes for.
    save_image(FOLDER / "cats.jpg", sheet([(generate("cats", 48), 12)]))
    save_image(FOLDER / "glyphs.png", enlarged(sheet([(to_images(glyphs(60, (32, 32), channels=3).pixels), 20)]), 2))


def enlarged(pixels, scale: int):
    return pixels.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)


if __name__ == "__main__":
    main()
