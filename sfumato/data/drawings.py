"""Synthetic pictures for restorers: text pages, screens, outlines, mosaics and gradients.

A network trained on photographs only mistakes pure blue for a wrong pixel and edges of letters for noise. Drawing i depends on (seed, i)
only. The font is Pillow's Aileron, which its author released to the public domain (CC0).
"""

import functools
import math
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sfumato.core.errors import SettingError
from sfumato.core.rng import derive_seed
from sfumato.data.dataset import Scene, Scenes, positions_of

TERMS = "drawn by Sfumato, letters from the Aileron font (CC0); free of any terms"
_FINE = 3
"""Factor of supersampling for drawings with soft edges."""

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]


def drawings(count: int = 100, size: tuple[int, int] = (256, 256), *, channels: int = 3, seed: int = 0, first: int = 0) -> Scenes:
    """Drawings number `first` to `first + count` (exclusive) of the set of `seed`, each (channels, height, width), uint8.

    `size` is (height, width), from 16 to 4096 pixels; `channels` is 1 or 3. Raises SettingError for other values.
    """
    return drawn(_SET, count, size, channels=channels, seed=seed, first=first)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A set of pictures that are drawn here."""

    name: str
    one: str
    """The name of one of them, from which its random numbers and its side of the split follow."""
    terms: str
    kinds: tuple[Callable[[random.Random, int, int], Image.Image], ...]
    """What draws the pictures, in turn, from random numbers, a width and a height."""


def drawn(which: Drawn, count: int, size: tuple[int, int], *, channels: int, seed: int, first: int) -> Scenes:
    """Pictures number `first` to `first + count` (exclusive) of a set, as `drawings` gives them. Raises SettingError as it does."""
    if count < 1 or first < 0 or channels not in (1, 3) or not all(16 <= side <= 4096 for side in size):
        request = f"{count} pictures from {first} of size {size} with {channels} channels"
        raise SettingError(f"{which.name}: cannot draw {request}; count must be positive, sizes 16 to 4096, channels 1 or 3")
    numbers = range(first, first + count)
    # The split position depends on seed and index: a drawing in grey or at another size stays on the same side.
    places = positions_of(f"{which.one} {seed} {i}".encode() for i in numbers)
    return Scenes(
        name=which.name, pictures=tuple(_picture(which, seed, i, size, channels) for i in numbers), terms=which.terms, positions=places
    )


def _picture(which: Drawn, seed: int, i: int, size: tuple[int, int], channels: int) -> Scene:
    dice = random.Random(derive_seed(seed, which.one, i))
    image = which.kinds[i % len(which.kinds)](dice, size[1], size[0])
    pixels = np.asarray(image if channels == 3 else image.convert("L"))
    return torch.from_numpy(pixels.reshape(*size, channels).copy()).permute(2, 0, 1).contiguous()


def _page(dice: random.Random, width: int, height: int) -> Image.Image:
    """A page with lines of words and rules."""
    paper = dice.choice([(255, 255, 255), (255, 255, 255), (240, 230, 210), _pale(dice), (0, 0, 0), _dark(dice)])
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1" if dice.random() < 0.15 else "L"
    top = dice.randint(2, 20)
    while top < height:
        tall = dice.choice([9, 11, 12, 13, 14, 16, 20, 28, 40])
        ink = _against(dice, paper)
        for _ in range(dice.randint(1, 6)):
            draw.text((dice.randint(2, 12), top), " ".join(_word(dice) for _ in range(2 + width // (3 * tall))), ink, _font(tall))
            top += round(1.3 * tall)
        if dice.random() < 0.4:
            draw.line((8, top + 2, width - 8, top + 2), ink, dice.randint(1, 3))
            top += 8
    return image


def _screen(dice: random.Random, width: int, height: int) -> Image.Image:
    """A screen with panels, buttons and icons in flat colours, and text."""
    image = Image.new("RGB", (width, height), dice.choice([_pale, _dark, _any])(dice))
    draw = ImageDraw.Draw(image)
    for _ in range(dice.randint(10, 40)):
        box, fill = _box(dice, width, height, width // 2), _any(dice)
        edge = dice.choice([None, _any(dice)])
        if dice.random() < 0.7:
            draw.rounded_rectangle(box, dice.choice([0, 0, 4, 8]), fill, edge, dice.randint(1, 3))
        else:
            draw.ellipse(box, fill, edge, dice.randint(1, 3))
        draw.text((box[0] + 4, box[1] + 2), _word(dice), _against(dice, fill), _font(dice.choice([9, 11, 12, 14, 18, 24])))
    return image


def _outlines(dice: random.Random, width: int, height: int) -> Image.Image:
    """Lines, circles and polygons on plain paper."""
    w, h = width * _FINE, height * _FINE
    paper = dice.choice([(255, 255, 255), (255, 255, 255), _pale(dice), _dark(dice)])
    ink = _against(dice, paper)
    image = Image.new("RGB", (w, h), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(dice.randint(8, 50)):
        wide, ink = dice.randint(_FINE, 5 * _FINE), ink if dice.random() < 0.8 else _against(dice, paper)
        shape, box = dice.random(), _box(dice, w, h, w // 2)
        if shape < 0.4:
            draw.line((dice.randrange(w), dice.randrange(h), dice.randrange(w), dice.randrange(h)), ink, wide)
        elif shape < 0.7:
            draw.ellipse(box, None, ink, wide)
        elif shape < 0.85:
            draw.arc(box, dice.randrange(360), dice.randrange(360), ink, wide)
        else:
            draw.polygon([(dice.randrange(w), dice.randrange(h)) for _ in range(dice.randint(3, 6))], None, ink, wide)
    return image.resize((width, height), dice.choice([Image.Resampling.BOX, Image.Resampling.LANCZOS, Image.Resampling.NEAREST]))


def _mosaic(dice: random.Random, width: int, height: int) -> Image.Image:
    """A mosaic of square cells in a few colours."""
    cell, colours = dice.choice([4, 6, 8, 12, 16]), [_any(dice) for _ in range(dice.randint(2, 6))]  # smaller cells are noise
    small = Image.new("RGB", (width // cell + 1, height // cell + 1))
    small.putdata([dice.choice(colours) for _ in range(small.width * small.height)])
    return small.resize((small.width * cell, small.height * cell), Image.Resampling.NEAREST).crop((0, 0, width, height))


def _ramps(dice: random.Random, width: int, height: int) -> Image.Image:
    """Colour gradients, linear and radial, in overlapping shapes."""
    image = Image.new("RGB", (width, height))
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(dice.randint(1, 6)):
        angle, near, far = dice.uniform(0, 2 * math.pi), np.array(_any(dice)), np.array(_any(dice))
        if dice.random() < 0.6:
            along = math.cos(angle) * columns / width + math.sin(angle) * rows / height
        else:
            along = np.hypot(columns - dice.randrange(width), rows - dice.randrange(height)) / width
        share = ((along - along.min()) / np.ptp(along))[..., None]
        field = Image.fromarray((near + (far - near) * share).round().astype(np.uint8))
        mask = Image.new("L", (width * _FINE, height * _FINE), 0)
        box = _box(dice, mask.width, mask.height, mask.width)
        (ImageDraw.Draw(mask).ellipse if dice.random() < 0.5 else ImageDraw.Draw(mask).rectangle)(box, 255)
        image.paste(field, mask=None if image.getbbox() is None else mask.resize((width, height), Image.Resampling.BOX))
    return image


_SET = Drawn(name="drawings", one="drawing", terms=TERMS, kinds=(_page, _screen, _outlines, _screen, _mosaic, _ramps))


def _any(dice: random.Random) -> Colour:
    """A random colour; in a third of the cases every channel is 0 or 255."""
    levels = (0, 255) if dice.random() < 1 / 3 else tuple(range(256))
    return dice.choice(levels), dice.choice(levels), dice.choice(levels)


def _pale(dice: random.Random) -> Colour:
    return dice.randint(215, 255), dice.randint(215, 255), dice.randint(215, 255)


def _dark(dice: random.Random) -> Colour:
    return dice.randint(0, 50), dice.randint(0, 50), dice.randint(0, 50)


def _against(dice: random.Random, ground: Colour) -> Colour:
    """A random colour with enough contrast to `ground` for text."""
    light = sum(ground) > 384
    if dice.random() < 0.5:
        return (0, 0, 0) if light else (255, 255, 255)
    colour = _any(dice)
    while abs(sum(colour) - sum(ground)) <= 250:
        colour = _any(dice)
    return colour


def _box(dice: random.Random, width: int, height: int, largest: int) -> Box:
    left, top = dice.randint(-largest // 4, width - 8), dice.randint(-largest // 4, height - 8)
    return left, top, left + dice.randint(6, largest), top + dice.randint(6, largest)


def _word(dice: random.Random) -> str:
    return "".join(dice.choice(string.ascii_letters + string.digits + ",.;-") for _ in range(dice.randint(1, 9)))


@functools.cache
def _font(tall: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(tall)
