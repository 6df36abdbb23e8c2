"""Draws the pictures of the documentation, all from the bundled models and the toolkit's own glyphs.

python -m scripts.pictures
"""

import io
from pathlib import Path

import skimage.data
import torch
from PIL import Image

from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.core.device import set_threads
from sfumato.core.tensors import Pixels, to_images, to_pixels
from sfumato.data.glyphs import glyphs
from sfumato.demonstration.page import sheet
from sfumato.demonstration.showcase import webp_of
from sfumato.editing.directions import contact_sheet, directions
from sfumato.editing.mix import mix
from sfumato.generation.generate import class_names, generate
from sfumato.io.files import save_image
from sfumato.io.inputs import images_of
from sfumato.restoration.restore import restore
from sfumato.store import weights

FOLDER = Path("docs/pictures")


def main() -> None:
    set_threads()
    generators = [name for name in ("fashion", "digits", "digits-vae") if name in weights.bundled()]
    groups = [(generate(name, 60 if name != "digits-vae" else 20, seed=100), 20) for name in generators]
    save_image(FOLDER / "bundled.png", enlarged(sheet(groups), 2))
    for name in generators:
        save_image(FOLDER / f"{name}.png", enlarged(sheet([(generate(name, 100), 20)]), 2))
    # As they come, seeds 0 to 47; as JPEG, for PNG takes 2.7 times the bytes of it.
    save_image(FOLDER / "cats.jpg", sheet([(generate("cats", 48), 12)]))
    tiles = weights.load("eurosat")
    save_image(FOLDER / "eurosat.jpg", sheet([(torch.cat([generate(tiles, 12, label=kind) for kind in class_names(tiles)]), 12)]))
    editing()
    compressing()
    enlarging()
    save_image(FOLDER / "glyphs.png", enlarged(sheet([(to_images(glyphs(60, (32, 32), channels=3).pixels), 20)]), 2))


def editing() -> None:
    """What docs/editing.md shows of the bundled cats."""
    network = weights.load("cats")
    rows = [generate(network, 12, truncation=psi) for psi in (0.3, 0.6, 1.0)]
    save_image(FOLDER / "cats-truncation.jpg", sheet([(torch.cat(rows), 12)]))
    grids = [mix(network, rows=[2, 6, 9], columns=[3, 4, 10, 11, 13], layers=layers) for layers in ((0, 3), (4, 9))]
    pair = torch.cat([to_pixels(grid, columns=6) for grid in grids], dim=1)
    save_image(FOLDER / "cats-mixed.jpg", pair)
    sheets = [contact_sheet(network, directions(network, how, count=6), seed=4, reach=2.0) for how in ("principal", "jacobian")]
    left, right = (to_pixels(each, columns=7) for each in sheets)
    save_image(FOLDER / "cats-directions.jpg", torch.cat([left, left.new_full((len(left), 8, 3), 255), right], dim=1))


def compressing() -> None:
    """A part of two photographs that no codec saw: the original, the least WebP that is no smaller than the file, the file."""
    rows = []
    for photograph in (skimage.data.astronaut(), skimage.data.chelsea()):
        picture = Image.fromarray(photograph)
        data = compress(picture, quality=20)
        webp = Image.open(io.BytesIO(webp_of(picture, len(data))))
        rows.append(torch.cat([part(each) for each in (picture, webp, decompress(data))], dim=1))
    save_image(FOLDER / "codec.jpg", torch.cat(rows))


def enlarging() -> None:
    """Parts of two photographs that were reduced to a quarter: enlarged by bicubic and in both looks, and the original."""
    rows = []
    for photograph, left, top in ((skimage.data.chelsea(), 110, 60), (skimage.data.gravel(), 120, 60)):
        picture = Image.fromarray(photograph).convert("RGB").crop((left, top, left + 256, top + 224))
        small = picture.resize((64, 56), Image.Resampling.BICUBIC)
        enlarged = [restore(small, task="upscale", scale=4, look=look) for look in ("faithful", "sharp")]
        columns = [small.resize(picture.size, Image.Resampling.BICUBIC), *enlarged, picture]
        rows.append(torch.cat([to_pixels(images_of(each.convert("RGB"))) for each in columns], dim=1))
    save_image(FOLDER / "look.jpg", torch.cat(rows))


def part(picture: Image.Image) -> Pixels:
    return to_pixels(images_of(picture.convert("RGB").crop((100, 40, 404, 296))))


def enlarged(pixels, scale: int):
    return pixels.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)


if __name__ == "__main__":
    main()
