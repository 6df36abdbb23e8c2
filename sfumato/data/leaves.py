"""Dead leaves: synthetic pictures of shapes of all sizes that hide each other, for networks that enlarge pictures.

Photographs that may be used are few, and a network learns them by heart. These have edges as photographs have them, sharp and soft, between
flat, shaded and patterned surfaces (Lee, Mumford and Huang 2001, https://doi.org/10.1023/A:1011109015675; for training: Achddou, Gousseau
and Ladjal 2021, Synthetic images as a regularity prior for image restoration neural networks). Picture i depends on (seed, i) only.
"""

import colorsys
import math
import random
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from sfumato.data.dataset import Scenes
from sfumato.data.drawings import Drawn, drawn

TERMS = "drawn by Sfumato; free of any terms"
_FINE = 2
"""Factor of supersampling: edges get the softness of a camera's pixels."""

Field = Float[np.ndarray, "h w"]
Paint = Float[np.ndarray, "h w 3"]
"""Colours from 0 to 255."""
Colour = Float[np.ndarray, "3"]
Outline = Float[np.ndarray, "points 2"]
"""Corners (x, y) of a polygon in pixels, around (0, 0)."""


def leaves(count: int = 100, size: tuple[int, int] = (256, 256), *, channels: int = 3, seed: int = 0, first: int = 0) -> Scenes:
    """Pictures number `first` to `first + count` (exclusive) of the set of `seed`, each (channels, height, width), uint8.

    `size` is (height, width), from 16 to 4096 pixels; `channels` is 1 or 3. Raises SettingError for other values.
    """
    return drawn(_SET, count, size, channels=channels, seed=seed, first=first)


def _picture(dice: random.Random, width: int, height: int) -> Image.Image:
    """Shapes of one palette, mostly small, over a background."""
    w, h = width * _FINE, height * _FINE
    palette = _palette(dice)
    canvas = _paint(dice, palette, h, w)
    smallest, largest = dice.choice((3, 6, 12, 25)) * _FINE, dice.choice((0.2, 0.4, 0.7)) * min(w, h)
    some_are_soft = dice.random() < 0.3
    radii = [_radius(dice, smallest, max(largest, 2 * smallest)) for _ in range(dice.choice((25, 60, 150)))]
    if dice.random() < 0.5:
        radii.sort(reverse=True)
    for radius in radii:
        softness = dice.uniform(0.5, 5) if some_are_soft and dice.random() < 0.6 else 0.0
        _lay(dice, canvas, palette, _outline(dice, radius), softness)
    if dice.random() < 0.5:
        canvas *= 1 + dice.uniform(0.05, 0.25) * _field(dice, h, w, dice.uniform(0.2, 0.8) * max(w, h))[..., None]
    image = Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))
    lens = dice.choice((0.0, 0.6, 1.0))
    return (image.filter(ImageFilter.GaussianBlur(lens)) if lens else image).resize((width, height), Image.Resampling.BOX)


def _lay(dice: random.Random, canvas: Paint, palette: list[Colour], outline: Outline, softness: float) -> None:
    """Lays a leaf with this outline on a random place of `canvas`, with an edge of this many pixels."""
    height, width = canvas.shape[:2]
    corners = outline + np.array([dice.uniform(-0.05, 1.05) * width, dice.uniform(-0.05, 1.05) * height])
    margin = math.ceil(3 * softness) + 1
    left, top = np.maximum(np.floor(corners.min(0)).astype(int) - margin, 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + margin, (width, height))
    if right - left < 2 or bottom - top < 2:
        return
    mask = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners.tolist()], fill=255)
    if softness:
        mask = mask.filter(ImageFilter.GaussianBlur(softness))
    share = np.asarray(mask, np.float32)[..., None] * ((1 if dice.random() < 0.75 else 0.6) / 255)
    under = canvas[top:bottom, left:right]
    under += share * (_paint(dice, palette, under.shape[0], under.shape[1]) - under)


def _radius(dice: random.Random, smallest: float, largest: float) -> float:
    """A radius whose density falls with its power 2.6: nearly as many details at every scale."""
    low, high = smallest**-1.6, largest**-1.6
    return (low + (high - low) * dice.random()) ** (-1 / 1.6)


def _outline(dice: random.Random, radius: float) -> Outline:
    points = dice.choice((_ellipse, _polygon, _blob, _stroke))(dice, radius)
    turn = dice.uniform(0, 2 * math.pi)
    return points @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])


def _ellipse(dice: random.Random, radius: float) -> Outline:
    return radius * _circle(_corners(radius)) * [1, dice.uniform(0.3, 1)]


def _polygon(dice: random.Random, radius: float) -> Outline:
    count = dice.randint(3, 7)
    angles = np.sort([dice.uniform(0, 2 * math.pi) for _ in range(count)])
    return radius * np.array([[dice.uniform(0.5, 1)] for _ in range(count)]) * _circle(angles)


def _blob(dice: random.Random, radius: float) -> Outline:
    """A circle with waves of a few frequencies."""
    angles = _corners(radius)
    distance = np.ones_like(angles)
    for k in range(1, dice.randint(2, 9)):
        distance += dice.gauss(0, 0.5) / k**1.2 * np.cos(k * angles + dice.uniform(0, 2 * math.pi))
    return radius * (distance.clip(0.1, 2) / 1.3)[:, None] * _circle(angles)


def _stroke(dice: random.Random, radius: float) -> Outline:
    """A curve with a width that changes along it: a hair, a stem, a branch."""
    count, bend = 40, dice.uniform(0.02, 0.25)
    directions = np.cumsum([dice.gauss(0, bend) for _ in range(count)])
    middle = np.cumsum(_circle(directions), axis=0) * (3 * radius / count)
    width = dice.uniform(0.8, max(1.2, min(14, 0.12 * radius))) * np.linspace(1, dice.uniform(0.2, 1), count)[:, None]
    across = _circle(directions + math.pi / 2) * width
    return np.concatenate([middle + across, (middle - across)[::-1]]) - middle.mean(0)


def _corners(radius: float) -> Float[np.ndarray, "points"]:
    return np.linspace(0, 2 * math.pi, int(np.clip(2 * radius, 16, 400)), endpoint=False)


def _circle(angles: Float[np.ndarray, "points"]) -> Outline:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _paint(dice: random.Random, palette: list[Colour], height: int, width: int) -> Paint:
    """A surface: flat or a gradient, and in half of the cases with a pattern or a shade."""
    near, far, third = (dice.choice(palette) for _ in range(3))
    along = _ramp(dice, height, width)
    along = (along - along.min()) / max(1.0, float(np.ptp(along)))
    base = near + (far - near) * (dice.choice((0.0, 0.0, 0.3, 0.3, 1.0)) * along)[..., None]
    return dice.choices(_PATTERNS, _SHARES)[0](dice, base.astype(np.float32), third)


def _plain(dice: random.Random, base: Paint, _: Colour) -> Paint:
    return base


def _stripes(dice: random.Random, base: Paint, colour: Colour) -> Paint:
    """Straight or wavy stripes."""
    height, width = base.shape[:2]
    period = dice.uniform(5, 60) * _FINE / 2
    phase = _ramp(dice, height, width) * (2 * math.pi / period)
    if dice.random() < 0.7:
        phase = phase + dice.uniform(0.5, 3) * _field(dice, height, width, dice.uniform(60, 300))
    share = np.cos(phase) * dice.uniform(1, 1.2 * period) + dice.uniform(-1.2, 1.2)
    return base + (colour - base) * (share.clip(-1, 1) / 2 + 0.5)[..., None]


def _patches(dice: random.Random, base: Paint, colour: Colour) -> Paint:
    """Spots and patches: where a smooth field is above a level."""
    field = _field(dice, base.shape[0], base.shape[1], dice.uniform(10, 120))
    share = (field - dice.uniform(-0.8, 0.8)) * dice.uniform(2, 40)
    return base + (colour - base) * share.clip(0, 1)[..., None]


def _grain(dice: random.Random, base: Paint, _: Colour) -> Paint:
    return base + dice.uniform(2, 14) * _field(dice, base.shape[0], base.shape[1], dice.uniform(2.2, 12))[..., None]


def _shade(dice: random.Random, base: Paint, _: Colour) -> Paint:
    return base * (1 + dice.uniform(0.05, 0.3) * _field(dice, base.shape[0], base.shape[1], dice.uniform(80, 400))[..., None])


_PATTERNS: tuple[Callable[[random.Random, Paint, Colour], Paint], ...] = (_plain, _stripes, _patches, _grain, _shade)
_SHARES = (0.3, 0.22, 0.18, 0.15, 0.15)
"""Shares of the surfaces with these patterns."""


def _ramp(dice: random.Random, height: int, width: int) -> Field:
    """Distance in pixels along a random direction."""
    angle = dice.uniform(0, 2 * math.pi)
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return math.cos(angle) * columns + math.sin(angle) * rows[:, None]


def _field(dice: random.Random, height: int, width: int, scale: float) -> Field:
    """A smooth random field with details of `scale` pixels, of mean 0 and deviation 1 over large areas."""
    h, w = math.ceil(height / scale) + 3, math.ceil(width / scale) + 3
    noise = np.frombuffer(dice.randbytes(h * w), np.uint8).reshape(h, w).astype(np.float32)
    # The deviation of uniform bytes is 74; the cubic kernel that fills in between them leaves about three quarters of it.
    image = Image.fromarray((noise - 127.5) / 60)
    left, top = dice.random(), dice.random()
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + width / scale, top + height / scale)))


def _palette(dice: random.Random) -> list[Colour]:
    """Eight colours about one or two hues, mostly pale or dull as in photographs."""
    hues = [dice.random() for _ in range(dice.randint(1, 2))]
    vivid = dice.random() < 0.3
    colours = []
    for _ in range(8):
        hue = dice.choice(hues) + dice.gauss(0, 0.06)
        saturation = dice.betavariate(2, 2) if vivid else dice.betavariate(1.5, 4)
        colours.append(255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, dice.betavariate(1.2, 1.2)), np.float32))
    return colours


_SET = Drawn(name="leaves", one="leaf", terms=TERMS, kinds=(_picture,))
